"""The contract between mprun and this program, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

_Kind = TypeVar("_Kind", bound=Enum)


class Framing(Enum):
    """How items are separated on a pipe; the values are those of the pipeline file."""

    LINES = "lines"
    NUL = "nul"
    NETSTRING = "netstring"
    U32BE = "u32be"
    MPRUN = "mprun"


class Reply(Enum):
    """How many outputs an item may have, and how their end is marked."""

    ONE = "one"
    UNTIL_EMPTY = "until-empty"
    ANY = "any"


# Versions of framing "mprun", see docs/helper-protocol.md: answers have numbers; mprun knows "later" and "rejected".
NUMBERED = 2
VERDICTS = 3
# The variables that describe the pipes: removed for children, which don't have them.
_OF_THE_PIPES = ("MPRUN_FRAMING", "MPRUN_IN_FRAMING", "MPRUN_OUT_FRAMING", "MPRUN_REPLY", "MPRUN_PROTOCOL")


@dataclass(frozen=True)
class Contract:
    """Both framings, the reply rule, and whether the program runs under mprun (else: by hand in a shell)."""

    input: Framing
    output: Framing
    reply: Reply
    supervised: bool
    protocol: int = 1

    @staticmethod
    def read(environment: Mapping[str, str] = os.environ) -> Contract:
        """The contract that these variables describe. Raises ValueError on one that this version doesn't know."""
        both = environment.get("MPRUN_FRAMING")
        framing_in = _framing(environment.get("MPRUN_IN_FRAMING") or both)
        framing_out = _framing(environment.get("MPRUN_OUT_FRAMING") or both)
        if (framing_in is Framing.MPRUN) != (framing_out is Framing.MPRUN):
            raise ValueError('framing "mprun" must be that of both input and output')
        reply = _known(Reply, environment.get("MPRUN_REPLY") or "any", "MPRUN_REPLY")
        supervised = both is not None or "MPRUN_STAGE" in environment
        return Contract(framing_in, framing_out, reply, supervised, _protocol(environment))


def _protocol(environment: Mapping[str, str]) -> int:
    """The version that both sides speak; an mprun that names none speaks the first."""
    newest = environment.get("MPRUN_PROTOCOL", "1")
    return min(int(newest), VERDICTS) if newest.isdigit() else 1


_agreed: Contract | None = None


def agreed() -> Contract:
    """This program's contract, read once. Its children by `subprocess` or `multiprocessing` have none: they don't have
    the pipes, and must not use their own standard input and output as such."""
    global _agreed
    if _agreed is None:
        _agreed = Contract.read()
        for name in _OF_THE_PIPES:
            os.environ.pop(name, None)
    return _agreed


def _framing(name: str | None) -> Framing:
    return _known(Framing, name or "lines", "MPRUN_FRAMING")


def _known(kind: type[_Kind], name: str, variable: str) -> _Kind:
    try:
        return kind(name)
    except ValueError:
        accepted = ", ".join(member.value for member in kind)
        raise ValueError(f"{variable} is {name!r}; this version of the mprun module knows {accepted}") from None
