"""What packed values are, in words, without running any code that is in them."""

from __future__ import annotations

import pickletools
import reprlib
from typing import Any

from masterslave.packed import DATA, PICKLED, unpack_value
from remoteobj.errors import NotSendable, WireError
from remoteobj.unreadable import UNREADABLE

__all__ = ["describe_item", "describe_value"]

_MOST_BYTES = 1024 * 1024
_MOST_CHARS = 500


class _Short(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        """Python writes no digits of a very large one, unless it is told to."""
        try:
            return super().repr_int(x, level)
        except ValueError:
            return f"an int of {x.bit_length()} bits"


_short = _Short()
_short.maxstring = _short.maxother = _short.maxlong = 200
_short.maxlist = _short.maxtuple = _short.maxset = _short.maxfrozenset = _short.maxdict = 20

_CONTAINERS = {
    "EMPTY_LIST": "a list",
    "EMPTY_DICT": "a dict",
    "EMPTY_SET": "a set",
    "EMPTY_TUPLE": "a tuple",
    "MARK": "a tuple",
    "NONE": "None",
}
_UNREADABLE = (*UNREADABLE, NotSendable, WireError, ValueError, IndexError, KeyError, EOFError)


def describe_value(payload: bytes) -> str:
    """Return what a packed value is: itself where it is data and short, else its type."""
    if payload.startswith(PICKLED):
        return _pickled_in_words(payload[1:])
    if len(payload) > _MOST_BYTES:
        return f"data of {len(payload) / 2**20:.1f} MiB"
    found = _read(payload)
    return "something that cannot be read" if found is None else _in_words(found[0])


def describe_item(payload: bytes, at: int) -> str:
    """Return the same of one value of a packed list."""
    if payload.startswith(PICKLED):
        return "a value that was pickled together with others"
    if len(payload) > _MOST_BYTES:
        return f"one of some values that are {len(payload) / 2**20:.1f} MiB of data together"
    found = _read(payload)
    if found is None or type(found[0]) is not list or not 0 <= at < len(found[0]):
        return "something that cannot be read"
    return _in_words(found[0][at])


def _read(payload: bytes) -> tuple[Any] | None:
    if payload[:1] not in (DATA, b"B"):
        return None
    try:
        return (unpack_value(payload, data_only=True),)
    except _UNREADABLE:
        return None


def _in_words(value: Any) -> str:
    text = _short.repr(value)
    if len(text) <= _MOST_CHARS:
        return text
    return f"{type(value).__name__} {text[:_MOST_CHARS]}..."


def _pickled_in_words(pickled: bytes) -> str:
    """Return of which type something pickled is, as far as its first instructions tell."""
    texts: list[str] = []
    try:
        for code, argument, _ in pickletools.genops(pickled[:_MOST_BYTES]):
            if code.name in ("PROTO", "FRAME", "MEMOIZE"):
                continue
            if "UNICODE" in code.name:
                texts.append(str(argument))
            elif code.name == "STACK_GLOBAL" and len(texts) > 1:
                return _class_in_words(*texts[-2:])
            elif code.name == "GLOBAL":
                return _class_in_words(*str(argument).split(" ", 1))
            elif not texts and code.name in _CONTAINERS:
                return f"{_CONTAINERS[code.name]} (pickled)"
    except Exception:  # whatever pickletools makes of what is no pickle
        pass
    return "an object (pickled)"


def _class_in_words(module: str, name: str = "") -> str:
    if module.startswith("cloudpickle"):
        return "an object of a class or function of the script's own (pickled)"
    if name == "_reconstruct" and module.startswith("numpy"):
        return "an array (pickled)"
    return f"an object of {module}.{name} (pickled)"
