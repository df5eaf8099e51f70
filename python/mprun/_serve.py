"""The loop: items in, answers out, until the input ends."""

from __future__ import annotations

import atexit
import faulthandler
import os
import sys
from collections.abc import Iterator
from typing import Any, Callable, TypeVar, overload

from . import _streams
from ._answers import Answers, Outputs, answers, to_text
from ._contract import Framing, agreed
from ._framing import ATTEMPT, decoder
from ._item import Item, tell_of
from ._signature import Takes, takes_of

_OfText = Callable[[str], Outputs]
_OfBytes = Callable[[bytes], Outputs]
_OfItem = Callable[[Item], Outputs]
_Function = TypeVar("_Function", bound=Callable[..., Outputs])


class _Session:
    """This program's standard input and output as items; there is one of it."""

    def __init__(self) -> None:
        self._contract = agreed()
        self.supervised = self._contract.supervised
        self._tells_attempts = self._contract.input is Framing.MPRUN
        self.answers: Answers = answers(self._contract)
        self._input = _streams.Input(_streams.take_input())
        _streams.own()
        # If a library written in C crashes, its Python traceback belongs to the cause as well.
        if not faulthandler.is_enabled():
            faulthandler.enable()
        atexit.register(_flush_at_exit, self.answers, os.getpid())

    def values(self, attempts: bool = False) -> Iterator[list[bytes]]:
        """The items as bytes, in lists of all that have arrived. `attempts`: see `decoder`."""
        decode = decoder(self._contract.input, attempts, self._contract.protocol)
        while True:
            # mprun must not wait for an answer while this program waits for items.
            self.answers.flush()
            data = self._input.read()
            if not data:
                break
            yield decode.feed(data)
        yield decode.end()
        self.answers.flush()

    def items(self) -> Iterator[Item]:
        """The same as items, each with its attempt."""
        attempt = int(os.environ.get("MPRUN_ATTEMPT", "1"))
        for bodies in self.values(attempts=True):
            for data in bodies:
                if self._tells_attempts:
                    attempt, data = ATTEMPT.unpack_from(data)[0], data[ATTEMPT.size :]
                yield Item(data, attempt, self.answers)


def _flush_at_exit(held: Answers, pid: int) -> None:
    """Writes held answers at any end of the program: an attempt is charged to the first item without one."""
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

    An exception that leaves the loop ends the program; for mprun that is a failed attempt of the current item, and it
    restarts the program. To keep running, wrap the work in `with item:`.
    """
    session = _open_session()
    try:
        for item in session.items():
            yield item
            item._end_if_open()
    finally:
        # Also after a `break`: the program may have other things to do before it ends.
        session.answers.flush()


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
    for item in session.items():
        with item:
            item._add(function(item))


def _serve_values(session: _Session, function: Callable[[Any], Outputs], as_text: bool) -> None:
    """Serves without `Item` objects: they would take half of the time of a trivial function."""
    replies = session.answers
    for values in session.values():
        for value in _texts(values) if as_text else values:
            try:
                replies.answer(function(value))
            except Exception as error:
                tell_of(error, replies)


def _texts(values: list[bytes]) -> list[str]:
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError:
        return list(map(to_text, values))


def stage(function: _Function) -> _Function:
    """As a decorator: serves the function if its file is run as a program, and does nothing if it is imported.

    It returns only at the end of the input, so it must be on the last function of the file.
    """
    if function.__module__ == "__main__":
        serve(function)
    return function
