"""From a value to what serpent, JSON or MessagePack can write: one walk, and a table for each.

An object of any other class is written as Pyro5 does it, for the peers that have told Pyro5 how to
rebuild it (``register_dict_to_class``); all others refuse it, by its name.
"""

from __future__ import annotations

import enum
import numbers
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from remoteobj import _pyro
from remoteobj.codec.leaves import shown
from remoteobj.codec.refusals import Refused, a

MAX_DEPTH = 200
"""How many containers may stand in one another: serpent's own limit, here for all formats."""

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement


@dataclass(frozen=True, slots=True)
class Form:
    """What a format has a form for."""

    name: str
    plain: frozenset[type]
    """What is written as it is."""

    writers: Mapping[type, Callable[[Writer, Any, int], Any]]
    """What replaces values of a class, and of those derived from it."""

    keys: tuple[type, ...]
    """What the keys of a dict may be."""

    registered_first: bool = False
    """Whether what Pyro5 was told of a class (``register_class_to_dict``) counts for more than what
    the class is derived from. So does serpent; and all do for exceptions."""

    has_bare_state: bool = False
    """Whether what an object's own ``__getstate__`` returns is sent even if it is no dict; a dict
    then gets the name of the class. So does serpent, but not JSON and MessagePack."""


class Writer:
    """One walk over a value; containers are copied, so nobody can change them meanwhile."""

    __slots__ = ("_writers", "form", "has_objects", "plain")

    def __init__(self, form: Form, *, has_objects: bool = True) -> None:
        self.form = form
        self.plain = form.plain
        self.has_objects = has_objects
        self._writers = form.writers

    def pack(self, value: Any, depth: int) -> Any:
        """Return *value*, inside *depth* containers, in a form that can be written."""
        kind = type(value)
        if kind in self.plain:
            return value
        write = self._writers.get(kind)
        if write is not None:
            return write(self, value, depth)
        if self.form.registered_first or issubclass(kind, BaseException):
            describe = _pyro.registered_writer(value)
            if describe is not None:
                return self.pack(describe(value), depth + 1)
        for base in kind.__mro__[1:]:
            if base in self._writers:
                return self._writers[base](self, value, depth)
        return _pack_object(self, value, depth)

    def check_depth(self, depth: int) -> None:
        """Refuse a container inside *depth* others, if that is one too many."""
        if depth >= MAX_DEPTH:
            raise Refused(f"it is nested too deeply (more than {MAX_DEPTH} levels)")

    def items(self, values: Iterable[Any], depth: int) -> list[Any]:
        """Pack the items of a container that itself stands inside *depth* others."""
        self.check_depth(depth)
        plain, pack = self.plain, self.pack
        packed: list[Any] = []
        try:
            for value in values:
                packed.append(value if type(value) in plain else pack(value, depth + 1))
        except Refused as refused:
            refused.path.append(f"[{len(packed)}]")
            raise
        return packed

    def pairs(self, values: Mapping[Any, Any], depth: int) -> dict[Any, Any]:
        """Pack a dict that itself stands inside *depth* containers."""
        self.check_depth(depth)
        plain, pack = self.plain, self.pack
        packed: dict[Any, Any] = {}
        key: Any = None
        try:
            for key, value in values.items():
                name = key if type(key) is str and str in plain else self.key(key, depth + 1)
                packed[name] = value if type(value) in plain else pack(value, depth + 1)
        except Refused as refused:
            refused.path.append(f"[{shown(key)}]")
            raise
        return packed

    def key(self, key: Any, depth: int) -> Any:
        """Pack what is a key or a member of a set."""
        if issubclass(type(key), self.form.keys):
            packed = self.pack(key, depth)
            try:
                hash(packed)
            except TypeError:
                pass
            else:
                return packed
        raise Refused(f"{a(type(key))} cannot be sent as a key, or in a set, as {self.form.name}")


def _pack_object(writer: Writer, value: Any, depth: int) -> Any:
    kind = type(value)
    if _is_proxy(kind):
        uri = object.__getattribute__(value, "_channel").uri
        state: tuple[Any, ...] = (str(uri), (), (), (), "hello", None)  # it asks for the names
        return writer.pairs({"__class__": _pyro.PROXY_CLASS, "state": state}, depth)
    describe = _pyro.registered_writer(value)
    if describe is not None:
        return writer.pack(describe(value), depth + 1)
    if isinstance(value, numbers.Integral):  # of numpy's
        return writer.pack(int(value), depth)
    if not writer.has_objects or not _has_own_state(kind):
        raise Refused(f"{a(kind)} cannot be sent as {writer.form.name}")
    try:
        return writer.pack(_state_of(value, writer.form.has_bare_state), depth)
    except Refused as refused:
        refused.path.append(f" {kind.__name__}")
        raise


def _is_proxy(kind: type) -> bool:
    # Not imported here, it stands above: who has a proxy has done so.
    module = sys.modules.get("remoteobj.proxy")
    return module is not None and vars(module).get("Proxy") in kind.__mro__


def _has_own_state(kind: type) -> bool:
    """Tell whether an object's attributes are all that there is to it."""
    if issubclass(kind, type | enum.Enum):
        return False
    if any(base is not object and not base.__flags__ & _HEAP_TYPE for base in kind.__mro__):
        return False
    return bool(kind.__dictoffset__ or _slots_of(kind))


def _slots_of(kind: type) -> tuple[str, ...]:
    slots: Any = getattr(kind, "__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _state_of(value: Any, has_bare_state: bool) -> Any:
    """Describe an object as Pyro5 does: with the name of its class among its attributes."""
    kind = type(value)
    name = f"{kind.__module__}.{kind.__name__}"
    try:
        if getattr(kind, "__getstate__", None) is not object.__getstate__:
            state = value.__getstate__()
            if has_bare_state:
                return {"__class__": name} | state if isinstance(state, dict) else state
            if isinstance(state, dict):
                return state
        if kind.__dictoffset__:
            return vars(value) | {"__class__": name}
        return {slot: getattr(value, slot) for slot in _slots_of(kind)} | {"__class__": name}
    except Exception as error:  # of the user's __getstate__, or a slot that is not filled
        raise Refused(f"{a(kind)} cannot be sent: {error}") from error
