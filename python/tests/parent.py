"""A stand-in for mprun: runs a program with the contract in its environment, and speaks the protocol with it.

It encodes and decodes on its own, so that an error in the module doesn't cancel out here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

MODULE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(MODULE))

TIME_LIMIT = 30.0


def environment(**contract: str) -> dict[str, str]:
    """What the program's environment is under mprun; empty: a shell."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MPRUN_")}
    return {**variables, **contract, "PYTHONPATH": str(MODULE)}


def helper(**more: str) -> dict[str, str]:
    """The contract of framing "mprun"."""
    return environment(MPRUN_FRAMING="mprun", MPRUN_STAGE="test", **more)


def numbered(**more: str) -> dict[str, str]:
    """The same with an mprun that speaks version 2 of it."""
    return helper(MPRUN_PROTOCOL="2", **more)


def newest(**more: str) -> dict[str, str]:
    """The same with an mprun that knows "later" and "rejected", too."""
    return helper(MPRUN_PROTOCOL="3", **more)


@dataclass
class Ran:
    """How a program ended, and what it wrote."""

    code: int
    out: bytes
    err: str


def run(script: str, given: bytes, contract: dict[str, str]) -> Ran:
    """Runs `script` with all of `given` on its standard input."""
    done = subprocess.run(command(script), input=given, capture_output=True, env=contract, timeout=TIME_LIMIT)
    return Ran(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))


def command(script: str) -> list[str]:
    """The command that runs `script`."""
    return [sys.executable, "-c", textwrap.dedent(script)]


def start(script: str, contract: dict[str, str]) -> subprocess.Popen[bytes]:
    """Starts `script` with pipes, unbuffered on this side."""
    return start_command(command(script), contract)


def start_command(words: list[str], contract: dict[str, str]) -> subprocess.Popen[bytes]:
    """Starts a command with pipes, unbuffered on this side."""
    return subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=contract, bufsize=0
    )


def finish(process: subprocess.Popen[bytes]) -> tuple[bytes, str]:
    """Ends its input; what it still writes and its log. Raises AssertionError if it ends badly."""
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None
    out, err = process.communicate(timeout=TIME_LIMIT)
    assert process.returncode == 0, err
    return out, err.decode()


def item(data: bytes, attempt: int = 1) -> bytes:
    """One item on its way to the program."""
    return (len(data) + 4).to_bytes(4, "big") + attempt.to_bytes(4, "big") + data


# What a program asks for version 2 with, and what mprun tells it with that it begins.
ASKS = b"\0\0\0\2v\2"
BEGINS = b"\0\0\0\1\2"


def numbered_item(number: int, data: bytes, attempt: int = 1) -> bytes:
    """One item on its way to the program, in version 2."""
    return (len(data) + 8).to_bytes(4, "big") + number.to_bytes(4, "big") + attempt.to_bytes(4, "big") + data


def numbered_answers(stream: bytes) -> list[tuple[int, Answer]]:
    """All answers of a whole output in version 2, each with its item's number, which all its frames must have."""
    assert stream.startswith(ASKS), stream[:20]
    at, plain, ends, open_since = len(ASKS), [], [], 0
    while at < len(stream):
        length = int.from_bytes(stream[at : at + 4], "big")
        kind, number = stream[at + 4 : at + 5], int.from_bytes(stream[at + 5 : at + 9], "big")
        plain.append((length - 4).to_bytes(4, "big") + kind + stream[at + 9 : at + 4 + length])
        assert open_since in (0, number), f"an answer to item {number} inside that to item {open_since}"
        open_since = number if kind == b"o" else 0
        if kind != b"o":
            ends.append(number)
        at += 4 + length
    return list(zip(ends, answers(b"".join(plain))))


@dataclass
class Answer:
    """What the program said to one item."""

    outputs: list[bytes] = field(default_factory=list)
    failure: str | None = None
    later: str | None = None
    rejected: str | None = None


def answers(stream: bytes) -> list[Answer]:
    """All answers of a whole output. Raises AssertionError for anything that the protocol doesn't allow."""
    found: list[Answer] = []
    current = Answer()
    at = 0
    while at < len(stream):
        length = int.from_bytes(stream[at : at + 4], "big")
        body = stream[at + 4 : at + 4 + length]
        assert length >= 1 and len(body) == length, f"broken frame at {at}: {stream[at : at + 40]!r}"
        at += 4 + length
        kind, payload = body[:1], body[1:]
        if kind == b"o":
            current.outputs.append(payload)
            continue
        if kind == b"f":
            current = Answer(failure=payload.decode("utf-8"))
        elif kind == b"l":
            current = Answer(later=payload.decode("utf-8"))
        elif kind == b"r":
            current = Answer(rejected=payload.decode("utf-8"))
        else:
            assert body == b"e", f"unknown frame {body[:40]!r}"
        found.append(current)
        current = Answer()
    assert not current.outputs, "outputs without an end"
    return found


def ask(script: str, *items: bytes) -> list[Answer]:
    """Runs `script` in framing "mprun" over `items`, which must end it well."""
    ran = run(script, b"".join(map(item, items)), helper())
    assert ran.code == 0, ran.err
    return answers(ran.out)


def read_frames(read: Callable[[int], bytes], until: Callable[[bytes], bool]) -> bytes:
    """Reads until `until` is content with what has come."""
    come = b""
    while not until(come):
        more = read(65536)
        assert more, f"ended after {come!r}"
        come += more
    return come
