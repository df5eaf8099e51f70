"""The pipes that carry items, on private descriptors.

A stray print, a chatty library or a child of os.system would write between the answers; a child that reads its
standard input (ffmpeg does) would eat items. So the pipes move to private descriptors, which no child inherits;
descriptor 1 becomes a copy of 2, and 0 becomes empty.

A child by `os.fork` has all descriptors of its parent, and its whole memory: if it went on with the loop, it would read
items and answer them in its parent's place. So the descriptors are closed in it, and its way ends at the loop.
"""

from __future__ import annotations

import io
import os
import sys
from typing import NoReturn

# A pipe holds 64 KiB by default; a full read means that it is larger, and that larger reads pay.
_MIN_READ_BYTES = 64 * 1024
_MAX_READ_BYTES = 1024 * 1024

_taken: dict[int, int] = {}
_is_own = False
_forked = False


def own() -> None:
    """Reserves the pipes for this process: none of its children may read or write them."""
    global _is_own
    if not _is_own:
        _is_own = True
        os.register_at_fork(after_in_child=_leave_to_parent)


def _leave_to_parent() -> None:
    global _forked
    _forked = True
    for descriptor in _taken.values():
        try:
            os.close(descriptor)
        except OSError:
            pass  # it was closed before: the same result


def is_forked() -> bool:
    """Whether this process is a child of the one that has the items."""
    return _forked


def end_child(cause: str = "") -> NoReturn:
    """Ends a forked child that returned to the loop over its parent's items."""
    said = cause + "\n" if cause else ""
    said += (
        f"mprun: process {os.getpid()} is a fork of the program that has the items, and came back to the loop over "
        "them: only that program may answer, so this one ends here; let such a child end by os._exit()\n"
    )
    try:
        os.write(2, said.encode("utf-8", "backslashreplace"))
    finally:
        # Not `sys.exit`: the exit handlers, and what is held in buffers, are the parent's.
        os._exit(1)


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
    """Reads all available bytes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = _MIN_READ_BYTES

    def read(self) -> bytes:
        """The available bytes, or the next ones; empty at the end."""
        if _forked:
            end_child()
        data = os.read(self._descriptor, self._size)
        if len(data) == self._size:
            self._size = min(self._size * 2, _MAX_READ_BYTES)
        return data


def write(descriptor: int, data: bytes | bytearray) -> None:
    """Writes all of it. If the reader has gone, ends the program without a message, as SIGPIPE does elsewhere."""
    if _forked:
        raise RuntimeError("a fork of the program that has the pipes can't write to them: only that program may")
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except BrokenPipeError:
        raise SystemExit(0) from None
