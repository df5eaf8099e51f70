"""One item, and what to do with it."""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Callable

from ._answers import Answers, Output, Outputs, is_single, to_bytes, to_text


class Fail(Exception):
    """Raise it to fail the current item with this text as the cause, without a traceback."""


class Later(Exception):
    """Raise it if the current item can't be done now (a server is away): mprun tries it again later, with growing
    delays, and no attempt is used up."""


class Reject(Exception):
    """Raise it if the current item can never be done: mprun writes a dead letter at once, with this text as the cause."""


class Item:
    """One item from the queue.

    It ends with `reply`, `fail`, `later` or `reject`, or, without any of them, when the loop asks for the next one. As a context manager
    (`with item:`) it turns an exception into a failed attempt.
    """

    __slots__ = ("_answers", "_over", "attempt", "bytes")

    def __init__(self, data: bytes, attempt: int, answers: Answers) -> None:
        self.bytes = data
        """The bytes of the item."""
        self.attempt = attempt
        """1 the first time, 2 after one failed attempt, ... (always 1 where the framing can't carry it)."""
        self._answers = answers
        self._over = False

    @property
    def text(self) -> str:
        """The item as UTF-8. Invalid bytes are lone surrogates, which become the same bytes again in an output."""
        return to_text(self.bytes)

    def emit(self, *outputs: Output) -> None:
        """Adds outputs of this item. They count when the item succeeds."""
        encoded = [to_bytes(output) for output in outputs]
        with self._answers.lock:
            self._check_open()
            for output in encoded:
                self._answers.output(output)

    def reply(self, *outputs: Output) -> None:
        """Adds the last outputs, if any, and acknowledges the item."""
        single = len(outputs) == 1 and is_single(outputs[0])
        with self._answers.lock:
            self._check_open()
            self._answers.answer(outputs[0] if single else outputs)
            self._over = True

    def fail(self, why: str) -> None:
        """Fails the attempt: its outputs don't count, and mprun requeues the item or writes a dead letter."""
        self._tell(self._answers.fail, why)

    def later(self, why: str) -> None:
        """Not now: its outputs don't count, and mprun tries the item again later. No attempt is used up."""
        self._tell(self._answers.later, why)

    def reject(self, why: str) -> None:
        """Never: its outputs don't count, and mprun writes a dead letter at once."""
        self._tell(self._answers.reject, why)

    def _tell(self, tell: Callable[[str], None], why: str) -> None:
        with self._answers.lock:
            self._check_open()
            self._over = True
            tell(why)

    def __enter__(self) -> Item:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            self._end_if_open()
            return False
        if not isinstance(error, Exception):
            return False
        if self._over:
            # The answer is given and can't be taken back; hiding a bug that comes after it would be worse.
            return False
        with self._answers.lock:
            self._check_open()
            self._over = True
            tell_of(error, self._answers)
        return True

    def _add(self, outputs: Outputs) -> None:
        if outputs is not None:
            self._check_open()
            self._answers.outputs(outputs)

    def _end_if_open(self) -> None:
        if self._over:
            return
        with self._answers.lock:
            self._answers.end()
            self._over = True

    def _check_open(self) -> None:
        if self._over:
            raise RuntimeError("this item is over: it has been answered already")


def tell_of(error: Exception, answers: Answers) -> None:
    """Ends the current item by what its function has raised."""
    if isinstance(error, Later):
        answers.later(str(error))
    elif isinstance(error, Reject):
        answers.reject(str(error))
    else:
        answers.fail(describe(error))


def describe(error: Exception) -> str:
    """The cause of a failed attempt: the traceback, without the frames of this package that led to the function."""
    if isinstance(error, Fail):
        return str(error)
    trace = error.__traceback__
    while trace is not None and _is_ours(trace):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip("\n")


def _is_ours(trace: TracebackType) -> bool:
    return str(trace.tb_frame.f_globals.get("__name__", "")).startswith("mprun.")
