"""Answers, from what a function returns to bytes on the pipe.

Answers are held back to be written many at once: until the input has run dry (the reader asks for a flush before it
waits), 64 KiB are pending, or the oldest has waited a millisecond. So fast items share a write, and a slow one doesn't
keep the answer of the one before it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from struct import Struct
from time import monotonic
from typing import Callable, Union

from . import _streams
from ._contract import Contract, Framing, Reply
from ._framing import encoder

Output = Union[str, bytes]
Outputs = Union[None, str, bytes, Iterable[Output]]

_HEAD = Struct(">Ic")
_END = _HEAD.pack(1, b"e")
_PENDING_BYTES = 64 * 1024
_PENDING_SECONDS = 0.001
# The end of a traceback is what tells; more than this isn't read by anybody.
_FAILURE_BYTES = 32 * 1024


def to_bytes(output: Output) -> bytes:
    """UTF-8; what was undecodable in an item goes out as it came in. Raises TypeError for neither text nor bytes."""
    if isinstance(output, str):
        return output.encode("utf-8", "surrogateescape")
    if isinstance(output, bytes):
        return output
    raise TypeError(f"an output must be str or bytes, not {type(output).__name__}")


class Pending:
    """Bytes held back, to be written at once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._bytes = 0
        self._since = 0.0
        self.parts: list[bytes] = []
        # A forked child that exits runs the same exit handlers: it must not send the same answers again.
        os.register_at_fork(after_in_child=self.parts.clear)

    def add(self, part: bytes) -> None:
        """Holds `part`; writes all if it is enough."""
        self.parts.append(part)
        self._bytes += len(part)
        if self._bytes >= _PENDING_BYTES:
            self.flush()

    def flush_if_old(self) -> None:
        """Writes what has been waiting too long."""
        if monotonic() - self._since > _PENDING_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes all."""
        data = b"".join(self.parts)
        self.parts.clear()
        self._bytes = 0
        if data:
            _streams.write(self._descriptor, data)
        self._since = monotonic()


class Answers:
    """One item's answer after the other: outputs, then its end or its failure."""

    failures = 0

    def __init__(self, descriptor: int) -> None:
        self._pending = Pending(descriptor)

    def output(self, output: bytes) -> None:
        """One more output of the current item."""
        raise NotImplementedError

    def end(self) -> None:
        """The current item has succeeded."""
        raise NotImplementedError

    def fail(self, cause: str) -> None:
        """The current item has failed: its outputs don't count."""
        raise NotImplementedError

    def outputs(self, outputs: Outputs) -> None:
        """All that a function returned."""
        if outputs is None:
            return
        if isinstance(outputs, (str, bytes)):
            self.output(to_bytes(outputs))
        elif isinstance(outputs, Iterable) and not isinstance(outputs, Mapping):
            for output in outputs:
                self.output(to_bytes(output))
        else:
            raise TypeError(f"must return None, str, bytes or an iterable of them, not {type(outputs).__name__}")

    def flush(self) -> None:
        """Writes what is held back."""
        self._pending.flush()


class HelperAnswers(Answers):
    """In framing "mprun", where a failure is an answer too."""

    def output(self, output: bytes) -> None:
        self._pending.add(_HEAD.pack(len(output) + 1, b"o") + output)

    def end(self) -> None:
        self._pending.add(_END)
        self._pending.flush_if_old()

    def fail(self, cause: str) -> None:
        text = cause.encode("utf-8", "backslashreplace")[-_FAILURE_BYTES:]
        self._pending.add(_HEAD.pack(len(text) + 1, b"f") + text)
        self._pending.flush_if_old()
        self.failures += 1


class PlainAnswers(Answers):
    """In any other framing: only success can be told, so outputs wait until the item has succeeded."""

    def __init__(self, descriptor: int, contract: Contract) -> None:
        super().__init__(descriptor)
        self._encode: Callable[[bytes], bytes] = encoder(contract.output)
        self._reply = contract.reply
        self._supervised = contract.supervised
        self._frames: list[bytes] = []

    def output(self, output: bytes) -> None:
        if self._reply is Reply.UNTIL_EMPTY and not output:
            raise ValueError('an empty output means the end in reply = "until-empty" (use framing = "mprun")')
        self._frames.append(self._encode(output))

    def end(self) -> None:
        if self._reply is Reply.ONE and len(self._frames) != 1:
            count = len(self._frames)
            raise ValueError(f'reply = "one" wants one output for each item, not {count} (use framing = "mprun")')
        if self._reply is Reply.UNTIL_EMPTY:
            self._frames.append(self._encode(b""))
        for frame in self._frames:
            self._pending.add(frame)
        self._frames.clear()
        self._pending.flush_if_old()

    def fail(self, cause: str) -> None:
        """Under mprun the program ends, which blames the item that has no answer; by hand it goes on, and exits 1."""
        self._frames.clear()
        self.failures += 1
        self.flush()
        sys.stderr.write(cause if cause.endswith("\n") else cause + "\n")
        if self._supervised:
            raise SystemExit(1)


def answers(contract: Contract, descriptor: int | None = None) -> Answers:
    """The answering side of the contract; takes standard output over."""
    to = _streams.take_output() if descriptor is None else descriptor
    return HelperAnswers(to) if contract.output is Framing.MPRUN else PlainAnswers(to, contract)
