"""The pipes that carry items, moved out of everybody else's reach.

A stray print, a chatty library or a child of os.system would write between the answers; a child that reads its
standard input (ffmpeg does) would eat items. So the pipes move to private descriptors, which no child inherits;
descriptor 1 becomes a copy of 2, and 0 becomes empty.
"""

from __future__ import annotations

import io
import os
import sys

# A pipe holds 64 KiB unless somebody enlarged it; then a full read is the sign that larger ones pay.
_READ_LEAST = 64 * 1024
_READ_MOST = 1024 * 1024

_taken: dict[int, int] = {}


def take_input() -> int:
    """The descriptor that items come from."""
    if 0 not in _taken:
        _taken[0] = os.dup(0)
        _replace(0, os.open(os.devnull, os.O_RDONLY))
    return _taken[0]


def take_output() -> int:
    """The descriptor that answers go to. What was printed before but not flushed goes to standard error too."""
    if 1 not in _taken:
        _taken[1] = os.dup(1)
        _replace(1, _copy_of_stderr())
        if isinstance(sys.stdout, io.TextIOWrapper):
            # As on a terminal: a log line should be seen when it is printed.
            sys.stdout.reconfigure(line_buffering=True)
    return _taken[1]


def _copy_of_stderr() -> int:
    try:
        return os.dup(2)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


def _replace(standard: int, by: int) -> None:
    os.dup2(by, standard)
    os.close(by)


class Input:
    """Reads as much as is there."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = _READ_LEAST

    def read(self) -> bytes:
        """What is there, or what comes next; empty at the end."""
        data = os.read(self._descriptor, self._size)
        if len(data) == self._size:
            self._size = min(self._size * 2, _READ_MOST)
        return data


def write(descriptor: int, data: bytes | bytearray) -> None:
    """Writes all of it. A reader that has gone ends the program without a word, as SIGPIPE does elsewhere."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except BrokenPipeError:
        raise SystemExit(0) from None
