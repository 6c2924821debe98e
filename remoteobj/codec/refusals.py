"""How a refusal finds the way to the place it is about, and says what to do instead."""

from __future__ import annotations

from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType


class Refused(Exception):
    """Something cannot be sent; each container on the way out adds its part to ``path``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []

    def told(self, where: str) -> str:
        """Write it as one sentence: ``value: items[3].handle: a socket cannot be sent: ...``."""
        place = "".join(reversed(self.path)).lstrip(". ")
        if len(place) > 200:
            place = f"{place[:100]} ... {place[-100:]}"
        return f"{where}: {place}: {self.reason}" if place else f"{where}: {self.reason}"


def a(kind: type) -> str:
    """Name a class as one would: "a socket", "an Engine", "a SSLSocket"."""
    return f"{'an' if kind.__name__[:1] in 'aeiouAEIOU' else 'a'} {kind.__name__}"


def refusal_of(kind: type) -> Refused:
    """Return what says that no object of this class can be sent, and what can be instead."""
    return Refused(f"{a(kind)} cannot be sent: {_way_out(kind)}")


_CODE = (FunctionType, BuiltinFunctionType, MethodType, ModuleType, type)
_PLAIN = (str, bytes, bytearray, int, float, complex, list, tuple, set, frozenset, dict)
_MADE_BY_A_CLASS_STATEMENT = 1 << 9  # Py_TPFLAGS_HEAPTYPE, and not the one below
_IMMUTABLE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE


def _way_out(kind: type) -> str:
    if issubclass(kind, _CODE):
        return "no code travels; send the URI of an object that does it"
    if issubclass(kind, Iterator):
        return "send a list of its items"
    for base in _PLAIN:
        if issubclass(kind, base):
            return f"send it as a plain {base.__name__}"
    if hasattr(kind, "__dataclass_fields__") and "__dataclass_fields__" not in vars(kind):
        return "a class that is derived from a dataclass is to be one, too"
    if kind is not object and all(
        base.__flags__ & (_MADE_BY_A_CLASS_STATEMENT | _IMMUTABLE) == _MADE_BY_A_CLASS_STATEMENT
        for base in kind.__mro__[:-1]
    ):
        return "make its class a dataclass, send plain values, or publish it and send its URI"
    return "leave it out, or send plain values in its place"
