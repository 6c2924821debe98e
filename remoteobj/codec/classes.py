"""Values of classes that both sides know: enums, named tuples, dataclasses, attrs, msgspec structs.

They travel by the qualified name of their class. It is looked up among the modules that are
imported here, never imported; it must be of the kind and have the fields that were sent. Values are
built as copying builds them, without their ``__init__``, and no other code of theirs is run.
"""

from __future__ import annotations

import enum
import functools
import math
import sys
from collections.abc import Callable
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import msgspec

from remoteobj.codec import leaves, tags
from remoteobj.codec.refusals import Refused, a
from remoteobj.errors import NotSendable, WireError

if TYPE_CHECKING:
    from remoteobj.codec.reading import Reader
    from remoteobj.codec.writing import Writer

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement
_fields: WeakKeyDictionary[type, tuple[str, ...]] = WeakKeyDictionary()


def find(name: Any) -> type:
    """Return the class of this name, if its module is imported.

    Looked up in the namespaces themselves: a module's or a class's own ``__getattr__`` is code.

    Raises:
        NotSendable: It is not there.
    """
    if type(name) is not str:
        raise WireError("a class has a name")
    module_name, _, path = name.partition(":")
    found: Any = sys.modules.get(module_name)
    for part in path.split("."):
        found = found.__dict__.get(part) if isinstance(found, type | type(sys)) else None
    if not isinstance(found, type):
        raise NotSendable(
            f"an object of class {module_name}.{path} arrived, which is not known here: import "
            f"the module that defines it ({module_name})"
        )
    return found


def writer_of(kind: type) -> Callable[[Writer, Any, int], Any] | None:
    """Return what writes a value of this class, or None where such values cannot travel."""
    if issubclass(kind, enum.Enum):
        return _pack_enum
    if _named_fields(kind) is not None:
        return _pack_namedtuple
    if _record_fields(kind) is not None:
        return _pack_record
    return None


def _name_of(kind: type) -> str:
    name = f"{kind.__module__}:{kind.__qualname__}"
    try:
        found: Any = find(name)
    except NotSendable:
        found = None
    if found is not kind:
        where = "inside a function" if "<locals>" in name else f"as {name.replace(':', '.')}"
        raise Refused(
            f"{a(kind)} cannot be sent: its class is not found by its name, because it is defined "
            f"{where}"
        )
    return name


def _pack_enum(writer: Writer, member: Any, depth: int) -> Any:
    name = _name_of(type(member))
    return {tags.ENUM: [name, writer.pack_member(member._value_, depth, ".value")]}


def read_enum(reader: Reader, content: Any, depth: int) -> Any:
    """Read a member of an enum by its value."""
    reader.check_depth(depth)
    name, value = content
    kind = find(name)
    value = reader.item(value, depth)
    if not issubclass(kind, enum.Enum):
        raise NotSendable(f"{name} is no enum here, but it is where the value came from")
    for member in kind._member_map_.values():
        found = member._value_
        if type(found) is type(value) and (found == value or _are_nan(found, value)):
            return member
    missing: Any = kind._missing_
    if issubclass(kind, enum.Flag) and missing.__func__ is enum.Flag.__dict__["_missing_"].__func__:
        return missing(value)  # members together; it is the standard library's, not the user's
    raise NotSendable(f"{name} has no member of value {leaves.shown(value)} here")


def _are_nan(one: Any, other: Any) -> bool:
    return type(one) is float and math.isnan(one) and math.isnan(other)


def _named_fields(kind: type) -> tuple[str, ...] | None:
    # Of what a named tuple has, a class of one's own over one may add methods, but not state.
    found: Any = getattr(kind, "_fields", None) if issubclass(kind, tuple) else None
    if type(found) is not tuple or kind.__dictoffset__:
        return None
    return found if all(type(name) is str for name in found) else None


def _pack_namedtuple(writer: Writer, value: Any, depth: int) -> Any:
    kind = type(value)
    return {tags.NAMEDTUPLE: [_name_of(kind), list(kind._fields), writer.pack_items(value, depth)]}


def read_namedtuple(reader: Reader, content: Any, depth: int) -> Any:
    """Read a named tuple."""
    name, fields, items = content
    kind = find(name)
    _compare(name, fields, _named_fields(kind))
    values = reader.items(items, depth)
    if len(values) != len(fields):
        raise WireError("a named tuple has not the items of its fields")
    return tuple.__new__(kind, values)


def _record_fields(kind: type) -> tuple[str, ...] | None:
    """Return the fields of a dataclass, an attrs class or a struct; None for other classes."""
    found = _fields.get(kind)
    if found is None:
        found = _look_at(kind)
        if found is not None:
            _fields[kind] = found
    return found


def _look_at(kind: type) -> tuple[str, ...] | None:
    if type(kind) is type(msgspec.Struct):
        is_plain = not any(hasattr(kind, name) for name in ("__post_init__",))
        init_of: Any = kind.__init__
        is_plain = (
            is_plain and init_of is object.__init__ and kind.__new__ is msgspec.Struct.__new__
        )
        return kind.__struct_fields__ if is_plain else None
    if any(base is not object and not base.__flags__ & _HEAP_TYPE for base in kind.__mro__):
        return None  # it holds more than its fields: a list of its own, a lock, ...
    own = vars(kind)
    if "__dataclass_fields__" in own:
        import dataclasses

        names = tuple(field.name for field in dataclasses.fields(kind))
    elif "__attrs_attrs__" in own:
        names = tuple(attribute.name for attribute in own["__attrs_attrs__"])
    else:
        return None
    return names if all(_is_storage(kind, name) for name in names) else None


def _is_storage(kind: type, name: str) -> bool:
    """Tell whether setting this attribute stores it and does nothing else."""
    for base in kind.__mro__:
        if name in vars(base):
            member = vars(base)[name]
            return type(member) is MemberDescriptorType or not hasattr(type(member), "__set__")
    return bool(kind.__dictoffset__)


def _pack_record(writer: Writer, value: Any, depth: int) -> Any:
    kind = type(value)
    writer.check_depth(depth)
    names = _record_fields(kind) or ()
    packed: list[Any] = [_name_of(kind), list(names)]
    plain = writer.plain
    for name in names:
        try:
            item = object.__getattribute__(value, name)
        except AttributeError:
            raise Refused(f"{a(kind)} without its attribute {name!r} cannot be sent") from None
        packed.append(item if type(item) in plain else writer.pack_member(item, depth, f".{name}"))
    if kind.__dictoffset__:
        _refuse_more(value, names)
    return {tags.RECORD: packed}


def _refuse_more(value: Any, names: tuple[str, ...]) -> None:
    state = object.__getattribute__(value, "__dict__")
    if len(state) <= len(names) and state.keys() <= set(names):
        return
    for name in state.keys() - set(names):
        # What is computed once is computed again.
        if not isinstance(getattr(type(value), name, None), functools.cached_property):
            raise Refused(
                f"{a(type(value))} with the attribute {name!r}, which is none of its fields, "
                "cannot be sent"
            )


def read_record(reader: Reader, content: Any, depth: int) -> Any:
    """Read a dataclass, an attrs class or a struct, without running its ``__init__``."""
    name, fields, *packed = content
    kind = find(name)
    _compare(name, fields, _record_fields(kind))
    values = dict(zip(fields, reader.items(packed, depth), strict=True))
    if issubclass(kind, msgspec.Struct):
        return kind(**values)  # it has no code of its own: see _look_at
    made = object.__new__(kind)
    for field, value in values.items():
        object.__setattr__(made, field, value)
    return made


def _compare(name: str, sent: Any, here: tuple[str, ...] | None) -> None:
    shown = name.replace(":", ".")
    if here is None:
        raise NotSendable(f"{shown} is another kind of class here than where the value came from")
    if type(sent) is not list or not all(type(field) is str for field in sent):
        raise WireError("a class has fields with names")
    if sent != list(here):
        raise NotSendable(
            f"{shown} has the fields {', '.join(here)} here, but {', '.join(sent)} where the value "
            "came from: use the same version of its module on both sides"
        )
