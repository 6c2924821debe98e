"""From a value to what serpent, JSON or MessagePack can write: one walk, and a table for each.

An object of another class goes only if somebody has said what of it may: Pyro5 was told
(``register_class_to_dict``); its class declares its fields, as a dataclass does; or it has a
``__getstate__`` of its own, without private names. It is written as Pyro5 does it, for the peers
that have told Pyro5 how to rebuild it (``register_dict_to_class``); all others refuse it, by its
name. Pyro5 itself would send all attributes of any object, ``_password`` among them.
"""

from __future__ import annotations

import enum
import numbers
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from remoteobj import _pyro
from remoteobj.codec import records
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
        raise Refused(
            f"{a(type(key))} cannot be sent as a key, or in a set, as {self.form.name}: send text"
        )


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
    if not writer.has_objects or not _is_of_python(kind):
        raise _refusal_of(kind, writer.form)
    state = _state_of(value, writer.form)
    try:
        return writer.pack(state, depth)
    except Refused as refused:
        refused.path.append(f" {kind.__name__}")
        raise


def _is_proxy(kind: type) -> bool:
    # Not imported here, it stands above: who has a proxy has done so.
    module = sys.modules.get("remoteobj.proxy")
    return module is not None and vars(module).get("Proxy") in kind.__mro__


_WAY_OUT = "tell Pyro5 how to write it (Pyro5.api.register_class_to_dict)"


def _refusal_of(kind: type, form: Form) -> Refused:
    return Refused(
        f"{a(kind)} cannot be sent as {form.name}: send plain values in its place, or {_WAY_OUT}"
    )


def _is_of_python(kind: type) -> bool:
    """Tell whether an object's attributes are all that there is to it."""
    if issubclass(kind, type | enum.Enum):
        return False
    return all(base is object or base.__flags__ & _HEAP_TYPE for base in kind.__mro__)


def _state_of(value: Any, form: Form) -> Any:
    """Describe an object as Pyro5 does: with the name of its class among its attributes.

    Raises:
        Refused: Nobody has said what of it may go.
    """
    kind = type(value)
    fields = records.fields_of(kind)
    name = {"__class__": f"{kind.__module__}.{kind.__name__}"}
    if fields is not None and kind.__dictoffset__:
        records.refuse_more(value, fields)
    try:
        if getattr(kind, "__getstate__", None) is not object.__getstate__:
            state = value.__getstate__()
            if isinstance(state, dict) and (fields is not None or all(map(_is_public, state))):
                return name | state if form.has_bare_state else state
            if fields is None:
                raise Refused(
                    f"{a(kind)} cannot be sent as {form.name}: what its __getstate__ gives is no "
                    f"dict of public names; {_WAY_OUT}"
                )
            if form.has_bare_state:
                return state
        if fields is not None:
            return {field: getattr(value, field) for field in fields} | name
    except Refused:
        raise
    except Exception as error:  # of the user's __getstate__, or a field that is not set
        raise Refused(f"{a(kind)} cannot be sent: {error}") from error
    raise _refusal_of(kind, form)


def _is_public(name: Any) -> bool:
    return type(name) is str and not name.startswith("_")
