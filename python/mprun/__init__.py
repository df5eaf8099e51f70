"""Turn a Python function into a stage of an mprun pipeline.

    import mprun

    @mprun.stage
    def shout(line: str) -> str:
        return line.upper()

with `command = ["python3", "shout.py"]` and `framing = "mprun"` in the pipeline file. An exception is a failed
attempt of that item, with the traceback as its cause; the process keeps running. `raise mprun.Later(why)` puts the item
off, `raise mprun.Reject(why)` makes it a dead letter at once. In a shell
(`seq 3 | python3 shout.py`) the same script reads and writes plain lines.

`items()` is the same as a loop, `emit()` is for sources. The protocol on the pipes: docs/helper-protocol.md.
"""

import sys

# Checked first, in syntax that every Python reads: an old one would stop at a SyntaxError in the other files.
if sys.version_info < (3, 8):  # noqa: UP036
    raise ImportError(
        "the mprun module needs Python 3.8 or later, and %s is Python %d.%d"
        % ((sys.executable or "this",) + tuple(sys.version_info[:2]))
    )

from ._answers import Output, Outputs
from ._contract import Framing, agreed
from ._framing import ProtocolError
from ._item import Fail, Item, Later, Reject
from ._serve import items, serve, stage
from ._source import emit
from ._streams import take_output

__all__ = [
    "Fail",
    "Item",
    "Later",
    "Output",
    "Outputs",
    "ProtocolError",
    "Reject",
    "emit",
    "items",
    "serve",
    "stage",
]

# In this framing standard output carries only frames, so it is taken before other modules can print.
if agreed().output is Framing.MPRUN:
    take_output()
