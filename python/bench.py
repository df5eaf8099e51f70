"""How fast is a trivial function per item?

Beside `multiprocessing.Pool` and a plain loop over lines in a shell pipe, in one run, on the same items:

    python3 python/bench.py [items]

Here a stand-in for mprun feeds the programs by pipes and checks every answer, so the figures are those of the module
and the pipes: mprun's queues aren't part of them.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import selectors
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER / "tests")]

import parent  # noqa: E402

PROCESSES = 2
ROUND_TRIPS = 5000

SERVE = "import mprun\nmprun.serve(lambda text: text.upper())"
LOOP = "import mprun\nfor item in mprun.items():\n    item.reply(item.text.upper())"
PLAIN = "import sys\nfor line in sys.stdin:\n    sys.stdout.write(line.upper())"
PLAIN_PROMPT = "import sys\nfor line in sys.stdin:\n    print(line.upper(), end='', flush=True)"


def upper(text: str) -> str:
    """The trivial function, for the pool."""
    return text.upper()


@contextmanager
def measured(name: str, count: int) -> Iterator[None]:
    """Prints items per second of time, and per second of processor time of all processes together."""
    started, used = time.perf_counter(), processor_time()
    yield
    took, used = time.perf_counter() - started, processor_time() - used
    print(f"{name:44} {count / took:>11,.0f}/s {count / used:>11,.0f} per CPU second", flush=True)


def processor_time() -> float:
    """Seconds used by this process and its ended children."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, kinds))


def through_programs(script: str, contract: dict[str, str], streams: list[bytes]) -> list[bytes]:
    """Starts one program for each stream, feeds them all at once, and returns what each wrote."""
    programs = [parent.start(script, contract) for _ in streams]
    left = [memoryview(stream) for stream in streams]
    got = [bytearray() for _ in streams]
    with selectors.DefaultSelector() as selector:
        for index, program in enumerate(programs):
            assert program.stdin and program.stdout
            os.set_blocking(program.stdin.fileno(), False)
            selector.register(program.stdin, selectors.EVENT_WRITE, index)
            selector.register(program.stdout, selectors.EVENT_READ, index)
        while selector.get_map():
            for key, ready in selector.select():
                index = key.data
                if ready & selectors.EVENT_WRITE:
                    left[index] = left[index][os.write(key.fd, left[index]) :]
                    done = not left[index]
                else:
                    more = os.read(key.fd, 1 << 20)
                    got[index] += more
                    done = not more
                if done:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
    for program in programs:
        program.stdin = program.stdout = None
        program.communicate()
    return [bytes(stream) for stream in got]


def helper(name: str, script: str, items: list[str]) -> None:
    """Framing "mprun" through the module: its second version, as mprun speaks it."""
    shares = [items[index::PROCESSES] for index in range(PROCESSES)]
    frames = [[parent.numbered_item(n, text.encode()) for n, text in enumerate(share, 1)] for share in shares]
    streams = [parent.BEGINS + b"".join(share) for share in frames]
    with measured(name, len(items)):
        got = through_programs(script, parent.numbered(), streams)
    for share, stream in zip(shares, got):
        answers = [(number, answer.outputs) for number, answer in parent.numbered_answers(stream)]
        assert answers == [(number, [upper(text).encode()]) for number, text in enumerate(share, 1)]


def plain(items: list[str]) -> None:
    """What a script without the module does with lines."""
    shares = [items[index::PROCESSES] for index in range(PROCESSES)]
    streams = ["".join(f"{text}\n" for text in share).encode() for share in shares]
    with measured("for line in sys.stdin", len(items)):
        got = through_programs(PLAIN, parent.environment(), streams)
    assert got == [stream.upper() for stream in streams]


def pool(items: list[str], chunk: int) -> None:
    """The peer."""
    with measured(f"multiprocessing.Pool.imap_unordered, chunk {chunk}", len(items)):
        with multiprocessing.Pool(PROCESSES) as workers:
            got = list(workers.imap_unordered(upper, items, chunksize=chunk))
            workers.close()
            workers.join()
    assert sorted(got) == sorted(map(upper, items))


def round_trip(name: str, command: list[str], contract: dict[str, str], sent: bytes, length: int) -> None:
    """One item at a time: how long until its answer is here."""
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=contract, bufsize=0)
    assert program.stdin and program.stdout
    to, back, times = program.stdin.fileno(), program.stdout.fileno(), []
    for _ in range(ROUND_TRIPS):
        started = time.perf_counter_ns()
        os.write(to, sent)
        come = 0
        while come < length:
            come += len(os.read(back, 65536))
        times.append((time.perf_counter_ns() - started) / 1000)
    program.communicate()
    times.sort()
    print(f"{name:44} p50 {statistics.median(times):6.1f} us  p99 {times[len(times) * 99 // 100]:6.1f} us", flush=True)


def main() -> None:
    """Prints a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400_000
    items = [f"hello {number}" for number in range(count)]
    print(f"{count:,} items like {items[-1]!r}, {PROCESSES} processes")
    helper("mprun.serve", SERVE, items)
    helper("mprun.items", LOOP, items)
    plain(items)
    pool(items, 64)
    pool(items[: count // 8], 1)
    print("one item at a time")
    round_trip("cat", ["cat"], parent.environment(), b"hello\n", 6)
    prompt = parent.command(PLAIN_PROMPT)
    round_trip("for line in sys.stdin, flushed", prompt, parent.environment(), b"hello\n", 6)
    round_trip("mprun.serve", parent.command(SERVE), parent.helper(), parent.item(b"hello"), 15)


if __name__ == "__main__":
    main()
