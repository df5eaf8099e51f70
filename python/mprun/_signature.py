"""The argument that a function takes, from its signature."""

from __future__ import annotations

import inspect
from enum import Enum
from typing import Any, Callable

from ._item import Item


class Takes(Enum):
    """What a served function gets for each item."""

    TEXT = "str"
    BYTES = "bytes"
    ITEM = "mprun.Item"


# Annotations are strings where `from __future__ import annotations` is on. They aren't resolved: that can fail, and
# with an alias of these names, pass `as_bytes`.
_MEANINGS = {
    inspect.Parameter.empty: Takes.TEXT,
    Any: Takes.TEXT,
    "Any": Takes.TEXT,
    "typing.Any": Takes.TEXT,
    str: Takes.TEXT,
    "str": Takes.TEXT,
    bytes: Takes.BYTES,
    "bytes": Takes.BYTES,
    Item: Takes.ITEM,
    "Item": Takes.ITEM,
    "mprun.Item": Takes.ITEM,
}


def takes_of(function: Callable[..., Any]) -> Takes:
    """By the annotation of its first parameter; text if there is none. Raises TypeError if it can't be served."""
    name = getattr(function, "__name__", repr(function))
    if inspect.iscoroutinefunction(function):
        raise TypeError(f"{name} is async: mprun runs more processes instead, so make it a plain function")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        # Some built-ins have no signature to look at.
        return Takes.TEXT
    if not parameters:
        raise TypeError(f"{name} takes no argument: a served function takes the item")
    annotation = parameters[0].annotation
    try:
        return _MEANINGS[annotation]
    except (KeyError, TypeError):
        raise TypeError(f"{name} takes {annotation!r}: a served function takes str, bytes or mprun.Item") from None
