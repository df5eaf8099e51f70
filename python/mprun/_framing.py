"""Bytes to items and back, for each framing.

A decoder is fed the result of each read. It joins its pieces only when an item is complete, so an item in a thousand
pieces costs its length once, not a thousand times.
"""

from __future__ import annotations

import re
from struct import Struct
from typing import Callable, Union

from ._contract import NUMBERED, Framing

_LENGTH = Struct(">I")
# As many digits as a length of 32 bits can have; without a bound, garbage without a colon would be kept for ever.
_NETSTRING_HEAD = re.compile(rb"(0|[1-9][0-9]{0,9}):")
_NETSTRING_HEAD_LEN = 11


# In framing "mprun" the number of its attempt comes before each item, big-endian.
ATTEMPT = Struct(">I")
# In its second version the item's own number does, too: length, number, attempt.
_NUMBERED_HEAD = Struct(">II")
_NUMBERS = 1 << 32


class ProtocolError(Exception):
    """The input does not conform to the framing."""


class SeparatedDecoder:
    """Items that each end with one byte; the last may lack it, as in a file without a final newline."""

    def __init__(self, separator: bytes) -> None:
        self._separator = separator
        self._held: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """The items that are complete now."""
        items = data.split(self._separator)
        self._held.append(items[0])
        if len(items) == 1:
            return []
        items[0] = b"".join(self._held)
        self._held = [items.pop()]
        return items

    def end(self) -> list[bytes]:
        """The items that the end of the input completes."""
        last = b"".join(self._held)
        self._held = []
        return [last] if last else []


class _CountedDecoder:
    """Items with a length before them, in the format that `_split` reads."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._missing = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The items that are complete now."""
        if self._held:
            self._held.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return []
            data = b"".join(self._held)
        items: list[bytes] = []
        used, needed = self._split(data, items)
        self._held = [data[used:]] if used < len(data) else []
        self._missing = needed - (len(data) - used)
        return items

    def end(self) -> list[bytes]:
        """Raises ProtocolError if the input ended inside an item."""
        if self._held:
            raise ProtocolError("the input ended in the middle of an item")
        return []

    def _split(self, data: bytes, items: list[bytes]) -> tuple[int, int]:
        """Appends the whole items of `data`; returns how far they reach, and how many bytes the next one needs."""
        raise NotImplementedError


class U32Decoder(_CountedDecoder):
    """Items after their length in four bytes, big-endian."""

    def _split(self, data: bytes, items: list[bytes]) -> tuple[int, int]:
        at, size, unpack = 0, len(data), _LENGTH.unpack_from
        while size - at >= 4:
            end = at + 4 + unpack(data, at)[0]
            if end > size:
                return at, end - at
            items.append(data[at + 4 : end])
            at = end
        return at, 4


class HelperDecoder(_CountedDecoder):
    """Items of framing "mprun": without numbers, until a frame of mprun announces them.

    `attempts`: the attempt number is kept before each item.
    """

    def __init__(self, attempts: bool, offered: int | None) -> None:
        super().__init__()
        self._offered = offered
        self._is_numbered = False
        self._next = 1
        self._plain_start = 4 if attempts else 8
        self._numbered_start = 8 if attempts else 12

    def _split(self, data: bytes, items: list[bytes]) -> tuple[int, int]:
        at, size, unpack = 0, len(data), _LENGTH.unpack_from
        while not self._is_numbered:
            if size - at < 4:
                return at, 4
            length = unpack(data, at)[0]
            end = at + 4 + length
            if length < 4 and not (length == 1 and self._offered):
                raise ProtocolError(f"a frame of {length} bytes: too short for its header")
            if end > size:
                return at, end - at
            if length == 1:
                self._begin_numbers(data[at + 4])
            else:
                items.append(data[at + self._plain_start : end])
                self._next += 1
            at = end
        return self._split_numbered(data, at, items)

    def _begin_numbers(self, version: int) -> None:
        if version != self._offered:
            raise ProtocolError(f"mprun speaks version {version} of its protocol, not {self._offered}")
        self._is_numbered = True

    def _split_numbered(self, data: bytes, at: int, items: list[bytes]) -> tuple[int, int]:
        size, unpack, start, expected = len(data), _NUMBERED_HEAD.unpack_from, self._numbered_start, self._next
        needed = 12
        while size - at >= 12:
            length, number = unpack(data, at)
            if length < 8:
                raise ProtocolError(f"a frame of {length} bytes: too short for its header")
            end = at + 4 + length
            if end > size:
                needed = end - at
                break
            if number != expected:
                raise ProtocolError(
                    f"item {number} came where item {expected} should: does another process read this one's items?"
                )
            expected = (number + 1) % _NUMBERS
            items.append(data[at + start : end])
            at = end
        self._next = expected
        return at, needed


class NetstringDecoder(_CountedDecoder):
    """Items as `length:bytes,` with the length in decimal."""

    def _split(self, data: bytes, items: list[bytes]) -> tuple[int, int]:
        at = 0
        while at < len(data):
            head = _NETSTRING_HEAD.match(data, at)
            if head is None:
                _check_head(data[at : at + _NETSTRING_HEAD_LEN])
                return at, len(data) - at + 1
            end = head.end() + int(head.group(1))
            if end >= len(data):
                return at, end + 1 - at
            if data[end] != ord(","):
                raise ProtocolError("a netstring doesn't end with a comma")
            items.append(data[head.end() : end])
            at = end + 1
        return at, 1


def _check_head(start: bytes) -> None:
    if len(start) == _NETSTRING_HEAD_LEN or not re.fullmatch(rb"0|[1-9][0-9]*", start):
        raise ProtocolError(f"a netstring begins with its length and a colon, not with {start!r}")


Decoder = Union[SeparatedDecoder, U32Decoder, HelperDecoder, NetstringDecoder]


def decoder(framing: Framing, attempts: bool = False, protocol: int = 1) -> Decoder:
    """A new decoder. With `attempts`, that of framing "mprun" keeps the attempt number before each item."""
    if framing is Framing.LINES:
        return SeparatedDecoder(b"\n")
    if framing is Framing.NUL:
        return SeparatedDecoder(b"\0")
    if framing is Framing.NETSTRING:
        return NetstringDecoder()
    if framing is Framing.MPRUN:
        return HelperDecoder(attempts, NUMBERED if protocol >= NUMBERED else None)
    return U32Decoder()


def encoder(framing: Framing) -> Callable[[bytes], bytes]:
    """A function from an output to its frame. It raises ValueError for what the framing can't carry."""
    if framing is Framing.LINES:
        return lambda output: _separated(output, b"\n", "a line break", framing)
    if framing is Framing.NUL:
        return lambda output: _separated(output, b"\0", "a NUL byte", framing)
    if framing is Framing.NETSTRING:
        return lambda output: b"%d:%b," % (len(output), output)
    return lambda output: _LENGTH.pack(len(output)) + output


def _separated(output: bytes, separator: bytes, name: str, framing: Framing) -> bytes:
    if separator in output:
        raise ValueError(f'an output has {name} inside, which framing "{framing.value}" can\'t carry (use "u32be")')
    return output + separator
