"""Answers, from what a function returns to bytes on the pipe.

Answers are held back to be written many at once: until the input has run dry (the reader asks for a flush before it
waits), 64 KiB are pending, or the last write is a millisecond ago. So fast items share a write, and a slow one keeps
back only what was answered in the millisecond before it.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Mapping
from struct import Struct
from threading import RLock
from time import monotonic
from typing import Any, Callable, Iterable, Union

from . import _streams
from ._contract import NUMBERED, VERDICTS, Contract, Framing, Reply
from ._framing import encoder

Output = Union[str, bytes, bytearray, memoryview]
Outputs = Union[None, str, bytes, bytearray, memoryview, Iterable[Output]]

_HEAD = Struct(">Ic")
_END = _HEAD.pack(1, b"e")
# In version 2 each answer has its item's number; the program asks for it by its first frame.
_NUMBERED_HEAD = Struct(">IcI")
_ASK_FOR_NUMBERS = _HEAD.pack(2, b"v") + b"\2"
_NUMBERS = 1 << 32
# The heads of short outputs, by length: to pack one takes longer than to hold the output.
_OUTPUT_HEADS = [_HEAD.pack(length + 1, b"o") for length in range(256)]
_PENDING_BYTES = 64 * 1024
_PENDING_SECONDS = 0.001
# The end of a traceback names the error; the rest may be cut.
_FAILURE_LENGTH = 32 * 1024
# Exit codes of sysexits.h, EX_TEMPFAIL and EX_DATAERR: all that a program can say in the other framings.
_NOT_NOW = 75
_BAD_DATA = 65


def to_text(item: bytes) -> str:
    """Decodes UTF-8. Invalid bytes are kept as lone surrogates."""
    return item.decode("utf-8", "surrogateescape")


def to_bytes(output: Output) -> bytes:
    """Encodes as UTF-8. Lone surrogates become the original bytes. Raises TypeError for neither text nor bytes."""
    if isinstance(output, str):
        return output.encode("utf-8", "surrogateescape")
    if isinstance(output, bytes):
        return output
    if isinstance(output, (bytearray, memoryview)):
        return bytes(output)
    raise TypeError(f"an output must be str, bytes, bytearray or memoryview, not {type(output).__name__}")


def is_single(outputs: Any) -> bool:
    """Whether it is one output, not several: bytearray and memoryview are iterable, too."""
    return isinstance(outputs, (str, bytes, bytearray, memoryview))


class Pending:
    """Bytes held back, to be written in one call.

    Threads of a function may add outputs at the same time: an append to a deque is one step, and only a write locks.
    """

    def __init__(self, descriptor: int) -> None:
        self.lock = RLock()
        self._descriptor = descriptor
        self._held: deque[bytes] = deque()
        self._size = 0
        self._written = 0.0
        os.register_at_fork(after_in_child=self._close)

    def add(self, part: bytes) -> None:
        """Holds `part`; writes all if the size limit is reached."""
        self._held.append(part)
        self._size += len(part)
        if self._size >= _PENDING_BYTES:
            self.flush()

    def add_last(self, part: bytes) -> None:
        """Holds `part`, which ends an answer; writes all if the size or time limit is reached."""
        self._held.append(part)
        self._size += len(part)
        if self._size >= _PENDING_BYTES or monotonic() - self._written > _PENDING_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes all."""
        with self.lock:
            self._size = 0
            if self._held:
                # Taken out first: if a signal handler raises in the middle, a second try would repeat the beginning.
                take = self._held.popleft
                _streams.write(self._descriptor, b"".join([take() for _ in range(len(self._held))]))
            self._written = monotonic()

    def _close(self) -> None:
        """In a forked child: drops the answers, which belong to the parent, and replaces the lock: a thread that
        held it at the fork does not exist here to release it."""
        self.__class__ = _Closed
        self._held.clear()
        self.lock = RLock()


class _Closed(Pending):
    """The class of a `Pending` in a forked child."""

    def add(self, part: bytes) -> None:
        _streams.end_child()

    add_last = add

    def flush(self) -> None:
        """Does nothing: the child may be at its exit, which is allowed."""


class Answers:
    """The answers, item by item: outputs, then the end or the failure."""

    failures = 0

    def __init__(self, descriptor: int) -> None:
        self._pending = Pending(descriptor)

    @property
    def lock(self) -> Any:
        """Held by a thread while it checks that its item is open and adds to the answer."""
        return self._pending.lock

    def output(self, output: bytes) -> None:
        """One more output of the current item."""
        raise NotImplementedError

    def end(self) -> None:
        """The current item has succeeded."""
        raise NotImplementedError

    def fail(self, cause: str) -> None:
        """The current item has failed: its outputs don't count."""
        raise NotImplementedError

    def later(self, cause: str) -> None:
        """The current item can't be done now: it is tried again later, and no attempt is used up."""
        raise NotImplementedError

    def reject(self, cause: str) -> None:
        """The current item can never be done: it is a dead letter at once."""
        raise NotImplementedError

    def answer(self, outputs: Outputs) -> None:
        """The whole answer: all that a function returned."""
        self.outputs(outputs)
        self.end()

    def outputs(self, outputs: Outputs) -> None:
        """All that a function returned, for an item that stays open."""
        if outputs is None:
            return
        if is_single(outputs):
            self.output(to_bytes(outputs))  # type: ignore[arg-type]
        elif isinstance(outputs, Iterable) and not isinstance(outputs, Mapping):
            for output in outputs:
                self.output(to_bytes(output))
        else:
            raise TypeError(
                "must return None, str, bytes (bytearray, memoryview) or an iterable of them, "
                f"not {type(outputs).__name__}"
            )

    def flush(self) -> None:
        """Writes what is held back."""
        self._pending.flush()


class HelperAnswers(Answers):
    """In framing "mprun", where a failure is an answer too."""

    def __init__(self, descriptor: int, verdicts: bool) -> None:
        super().__init__(descriptor)
        # An mprun that doesn't know "later" and "rejected" is told of a failed attempt.
        self._later, self._rejected = (b"l", b"r") if verdicts else (b"f", b"f")

    def output(self, output: bytes) -> None:
        self._pending.add(_HEAD.pack(len(output) + 1, b"o") + output)

    def answer(self, outputs: Outputs) -> None:
        # One output is what most functions return: this way it takes half the time.
        if type(outputs) is str:
            try:
                output = outputs.encode()
            except UnicodeEncodeError:
                output = to_bytes(outputs)
        elif type(outputs) is bytes:
            output = outputs
        else:
            super().answer(outputs)
            return
        length = len(output)
        head = _OUTPUT_HEADS[length] if length < 256 else _HEAD.pack(length + 1, b"o")
        self._pending.add_last(head + output + _END)

    def end(self) -> None:
        self._pending.add_last(_END)

    def fail(self, cause: str) -> None:
        self._tell(b"f", cause)

    def later(self, cause: str) -> None:
        self._tell(self._later, cause)

    def reject(self, cause: str) -> None:
        self._tell(self._rejected, cause)

    def _tell(self, kind: bytes, cause: str) -> None:
        if _streams.is_forked():
            _streams.end_child(cause)
        self._add(kind, cause[-_FAILURE_LENGTH:].encode("utf-8", "backslashreplace"))
        self.failures += 1

    def _add(self, kind: bytes, text: bytes) -> None:
        self._pending.add_last(_HEAD.pack(len(text) + 1, kind) + text)


class NumberedAnswers(HelperAnswers):
    """The same in version 2: each frame has its item's number, so a stray frame can't be taken for another item's."""

    def __init__(self, descriptor: int, verdicts: bool) -> None:
        super().__init__(descriptor, verdicts)
        self._number = 1
        _streams.write(descriptor, _ASK_FOR_NUMBERS)

    def output(self, output: bytes) -> None:
        self._pending.add(_NUMBERED_HEAD.pack(len(output) + 5, b"o", self._number) + output)

    def answer(self, outputs: Outputs) -> None:
        if type(outputs) is str:
            try:
                output = outputs.encode()
            except UnicodeEncodeError:
                output = to_bytes(outputs)
        elif type(outputs) is bytes:
            output = outputs
        else:
            Answers.answer(self, outputs)
            return
        pack, number = _NUMBERED_HEAD.pack, self._number
        self._number = (number + 1) % _NUMBERS
        self._pending.add_last(pack(len(output) + 5, b"o", number) + output + pack(5, b"e", number))

    def end(self) -> None:
        self._pending.add_last(_NUMBERED_HEAD.pack(5, b"e", self._take_number()))

    def _add(self, kind: bytes, text: bytes) -> None:
        self._pending.add_last(_NUMBERED_HEAD.pack(len(text) + 5, kind, self._take_number()) + text)

    def _take_number(self) -> int:
        number = self._number
        self._number = (number + 1) % _NUMBERS
        return number


class PlainAnswers(Answers):
    """In any other framing: only success can be reported, so outputs wait until the item has succeeded."""

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
        self._pending.add_last(b"".join(self._frames))
        self._frames.clear()

    def fail(self, cause: str) -> None:
        """Under mprun the program ends: the item without an answer has failed. In a shell it continues, and exits 1."""
        self._tell(cause, 1)

    def later(self, cause: str) -> None:
        self._tell(cause, _NOT_NOW)

    def reject(self, cause: str) -> None:
        """The exit code means this only where the pipeline file has it in `dead_codes`."""
        self._tell(cause, _BAD_DATA)

    def _tell(self, cause: str, code: int) -> None:
        if _streams.is_forked():
            _streams.end_child(cause)
        self._frames.clear()
        self.failures += 1
        self.flush()
        sys.stderr.write(cause if cause.endswith("\n") else cause + "\n")
        if self._supervised:
            raise SystemExit(code)


def answers(contract: Contract, descriptor: int | None = None) -> Answers:
    """The answering side of the contract; takes standard output over."""
    to = _streams.take_output() if descriptor is None else descriptor
    if contract.output is not Framing.MPRUN:
        return PlainAnswers(to, contract)
    kind = NumberedAnswers if contract.protocol >= NUMBERED else HelperAnswers
    return kind(to, contract.protocol >= VERDICTS)
