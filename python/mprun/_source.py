"""For a program without an input: a source, which emits items."""

from __future__ import annotations

from typing import Callable

from . import _streams
from ._answers import Output, to_bytes
from ._contract import Framing, agreed
from ._framing import encoder

_channel: tuple[int, Callable[[bytes], bytes]] | None = None


def emit(*outputs: Output) -> None:
    """Writes outputs of a source immediately. Several outputs in one call cost one write."""
    global _channel
    if _channel is None:
        _channel = _open()
    descriptor, encode = _channel
    _streams.write(descriptor, b"".join([encode(to_bytes(output)) for output in outputs]))


def _open() -> tuple[int, Callable[[bytes], bytes]]:
    contract = agreed()
    if contract.output is Framing.MPRUN:
        raise RuntimeError('in framing "mprun" every output belongs to an item: use item.emit, or return it')
    descriptor = _streams.take_output()
    _streams.own()
    return descriptor, encoder(contract.output)
