"""What mprun has agreed with this program, as its environment tells."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

_Kind = TypeVar("_Kind", bound=Enum)


class Framing(Enum):
    """How items are told apart on a pipe; the values are those of the pipeline file."""

    LINES = "lines"
    NUL = "nul"
    NETSTRING = "netstring"
    U32BE = "u32be"
    MPRUN = "mprun"


class Reply(Enum):
    """How many outputs an item may have, and how their end is told."""

    ONE = "one"
    UNTIL_EMPTY = "until-empty"
    ANY = "any"


@dataclass(frozen=True)
class Contract:
    """Both framings, the reply rule, and whether mprun is there at all (else: a try-out in a shell)."""

    input: Framing
    output: Framing
    reply: Reply
    supervised: bool

    @staticmethod
    def read(environment: Mapping[str, str] = os.environ) -> Contract:
        """The contract that these variables describe. Raises ValueError on one that this version doesn't know."""
        both = environment.get("MPRUN_FRAMING")
        framing_in = _framing(environment.get("MPRUN_IN_FRAMING") or both)
        framing_out = _framing(environment.get("MPRUN_OUT_FRAMING") or both)
        if (framing_in is Framing.MPRUN) != (framing_out is Framing.MPRUN):
            raise ValueError('framing "mprun" must be that of both input and output')
        reply = _known(Reply, environment.get("MPRUN_REPLY") or "any", "MPRUN_REPLY")
        return Contract(framing_in, framing_out, reply, both is not None or "MPRUN_STAGE" in environment)


def _framing(name: str | None) -> Framing:
    return _known(Framing, name or "lines", "MPRUN_FRAMING")


def _known(kind: type[_Kind], name: str, variable: str) -> _Kind:
    try:
        return kind(name)
    except ValueError:
        accepted = ", ".join(member.value for member in kind)
        raise ValueError(f"{variable} is {name!r}; this version of the mprun module knows {accepted}") from None
