"""The loop: items in, answers out, until the input ends."""

from __future__ import annotations

import atexit
import faulthandler
import os
import sys
from collections.abc import Iterator
from typing import Any, Callable, TypeVar, overload

from . import _streams
from ._answers import Answers, Outputs, answers
from ._contract import Contract, Framing
from ._framing import ATTEMPT_BYTES, decoder
from ._item import Item, describe
from ._signature import Takes, takes_of

_OfText = Callable[[str], Outputs]
_OfBytes = Callable[[bytes], Outputs]
_OfItem = Callable[[Item], Outputs]
_Function = TypeVar("_Function", bound=Callable[..., Outputs])


class _Session:
    """This program's standard input and output as items; there is one of it."""

    def __init__(self) -> None:
        self._contract = Contract.read()
        self.supervised = self._contract.supervised
        self.head = ATTEMPT_BYTES if self._contract.input is Framing.MPRUN else 0
        self.answers: Answers = answers(self._contract)
        self._input = _streams.Input(_streams.take_input())
        # If a library written in C crashes, its Python traceback belongs to the cause as well.
        if not faulthandler.is_enabled():
            faulthandler.enable()
        atexit.register(_flush_at_exit, self.answers, os.getpid())

    def bodies(self) -> Iterator[list[bytes]]:
        """Bodies of items, as many at once as have come."""
        decode = decoder(self._contract.input)
        while True:
            # Nobody may wait for an answer while this program waits for items.
            self.answers.flush()
            data = self._input.read()
            if not data:
                break
            yield decode.feed(data)
        yield decode.end()
        self.answers.flush()

    def item(self, body: bytes) -> Item:
        """The item of a body."""
        attempt = int.from_bytes(body[: self.head], "big") if self.head else int(os.environ.get("MPRUN_ATTEMPT", "1"))
        return Item(body[self.head :], attempt, self.answers)


def _flush_at_exit(held: Answers, pid: int) -> None:
    """What has been answered counts, however the program ends: so the first item without an answer is to blame."""
    if os.getpid() == pid:
        try:
            held.flush()
        except SystemExit:
            pass


_session: _Session | None = None


def _open_session() -> _Session:
    global _session
    if _session is not None:
        raise RuntimeError("the items of this program are being read already")
    _session = _Session()
    return _session


def items() -> Iterator[Item]:
    """The items, one by one, until the input ends.

    An exception that leaves the loop ends the program; mprun takes it as a failed attempt of the item at hand and
    starts the program again. To live on, wrap the work in `with item:`.
    """
    session = _open_session()
    for bodies in session.bodies():
        for body in bodies:
            item = session.item(body)
            yield item
            item._end_if_open()


@overload
def serve(function: _OfText, *, as_bytes: bool | None = None) -> None: ...
@overload
def serve(function: _OfBytes, *, as_bytes: bool | None = None) -> None: ...
@overload
def serve(function: _OfItem, *, as_bytes: bool | None = None) -> None: ...


def serve(function: Callable[[Any], Outputs], *, as_bytes: bool | None = None) -> None:
    """Calls `function` with each item and sends what it returns, until the input ends.

    It gets str, or, by the annotation of its parameter, bytes or `Item` (`as_bytes` overrules). It returns None (no
    output), one str or bytes, or any iterable of them; it may be a generator. Raises TypeError for a function that
    can't be served. Tried by hand, it ends with exit code 1 if an item failed.
    """
    takes = takes_of(function) if as_bytes is None else Takes.BYTES if as_bytes else Takes.TEXT
    session = _open_session()
    if takes is Takes.ITEM:
        _serve_items(session, function)
    else:
        _serve_values(session, function, as_text=takes is Takes.TEXT)
    if session.answers.failures and not session.supervised:
        sys.exit(1)


def _serve_items(session: _Session, function: Callable[[Any], Outputs]) -> None:
    for bodies in session.bodies():
        for body in bodies:
            with session.item(body) as item:
                item._add(function(item))


def _serve_values(session: _Session, function: Callable[[Any], Outputs], as_text: bool) -> None:
    """Without an `Item` for each: half of the time of a trivial function would go into it."""
    head, replies = session.head, session.answers
    for bodies in session.bodies():
        for body in bodies:
            try:
                data = body[head:]
                replies.outputs(function(data.decode("utf-8", "surrogateescape") if as_text else data))
                replies.end()
            except Exception as error:
                replies.fail(describe(error))


def stage(function: _Function) -> _Function:
    """As a decorator: serves the function if its file is run as a program, and leaves it alone if it is imported.

    It doesn't return before the input has ended, so it belongs on the last function of the file.
    """
    if function.__module__ == "__main__":
        serve(function)
    return function
