"""Work that keeps a core busy: the prime factors of a number, by trial division.

What isn't a number above 1 is a failed attempt, and in the end a dead letter that says why.
"""

from collections.abc import Iterator

import mprun


def primes_of(number: int) -> Iterator[int]:
    """Its prime factors, smallest first."""
    divisor = 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            yield divisor
            number //= divisor
        divisor += 1 if divisor == 2 else 2
    if number > 1:
        yield number


@mprun.stage
def factors(line: str) -> str:
    number = int(line)
    if number < 2:
        raise mprun.Fail(f"{number} has no prime factors")
    return f"{number} = {' * '.join(map(str, primes_of(number)))}"
