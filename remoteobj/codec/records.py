"""Objects that are what their fields are: named tuples, dataclasses, attrs classes, structs.

One travels as its class, the names of its fields, and their values; a list of them as the same with
a list of the values of each field. Here the class must be of such a kind and have the same fields.
Objects are built as copying builds them, without their ``__init__``, and no other code is run.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain, repeat
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import msgspec

from remoteobj.codec import classes, tags
from remoteobj.codec.refusals import Refused, a
from remoteobj.errors import WireError

if TYPE_CHECKING:
    from remoteobj.codec.reading import Reader
    from remoteobj.codec.writing import Writer

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement
_known: WeakKeyDictionary[type, tuple[str, ...] | None] = WeakKeyDictionary()
_value_of: Callable[[Any, str], Any] = object.__getattribute__


def fields_of(kind: type) -> tuple[str, ...] | None:
    """Return the names of the fields, or None for other classes."""
    try:
        return _known[kind]
    except KeyError:
        found = _known[kind] = _look_at(kind)
        return found


def _look_at(kind: type) -> tuple[str, ...] | None:
    if issubclass(kind, tuple):
        return _fields_of_tuple(kind)
    if type(kind) is type(msgspec.Struct):
        # It has no __init__ and no __new__ of its own: msgspec sees to that.
        return None if hasattr(kind, "__post_init__") else kind.__struct_fields__
    if any(base is not object and not base.__flags__ & _HEAP_TYPE for base in kind.__mro__):
        return None  # it holds more than its fields: a list of its own, a lock, ...
    own = vars(kind)
    if "__dataclass_fields__" in own:
        import dataclasses

        names = tuple(field.name for field in dataclasses.fields(kind))  # type: ignore[arg-type]
    elif "__attrs_attrs__" in own:
        names = tuple(attribute.name for attribute in own["__attrs_attrs__"])
    else:
        return None
    return names if all(_is_storage(kind, name) for name in names) else None


def _fields_of_tuple(kind: type) -> tuple[str, ...] | None:
    # Of what a named tuple has, a class of one's own over one may add methods, but not state.
    found: Any = getattr(kind, "_fields", None)
    if type(found) is not tuple or kind.__dictoffset__:
        return None
    return found if all(type(name) is str for name in found) else None


def _is_storage(kind: type, name: str) -> bool:
    """Tell whether setting this attribute stores it and does nothing else."""
    for base in kind.__mro__:
        if name in vars(base):
            member = vars(base)[name]
            return type(member) is MemberDescriptorType or not hasattr(type(member), "__set__")
    return bool(kind.__dictoffset__)


def pack_record(writer: Writer, value: Any, depth: int) -> Any:
    """Pack one object."""
    kind = type(value)
    writer.check_depth(depth)
    fields = fields_of(kind) or ()
    is_tuple = issubclass(kind, tuple)
    if is_tuple and len(value) != len(fields):
        raise Refused(
            f"{a(kind)} with {len(value)} items, not {len(fields)}, cannot be sent: make it by its "
            "class"
        )
    packed = [writer.name_of(kind), fields]
    plain = writer.plain
    for index, name in enumerate(fields):
        try:
            item = value[index] if is_tuple else _value_of(value, name)
        except AttributeError:
            raise Refused(
                f"{a(kind)} without its attribute {name!r} cannot be sent: set it"
            ) from None
        packed.append(item if type(item) in plain else writer.pack_member(item, depth, f".{name}"))
    if kind.__dictoffset__:
        refuse_more(value, fields)
    return {tags.RECORD: packed}


def refuse_more(value: Any, fields: tuple[str, ...]) -> None:
    """Refuse an object with attributes that are none of its fields."""
    for name in _value_of(value, "__dict__"):
        # What is computed once is computed again.
        if name not in fields and not isinstance(
            getattr(type(value), name, None), functools.cached_property
        ):
            raise Refused(
                f"{a(type(value))} with the attribute {name!r}, which is none of its fields, "
                "cannot be sent: declare it as one, or delete it"
            )


def read_record(reader: Reader, content: Any, depth: int) -> Any:
    """Read one object."""
    name, fields, *packed = content
    kind = reader.kind(name, fields)
    values = reader.items(packed, depth)
    if len(values) != len(fields):
        raise WireError("an object has other values than fields")
    if issubclass(kind, tuple):
        return tuple.__new__(kind, values)
    if issubclass(kind, msgspec.Struct):
        return _make_structs(kind, fields, [[value] for value in values])[0] if values else kind()
    made = object.__new__(kind)
    for field, value in zip(fields, values, strict=True):
        object.__setattr__(made, field, value)
    return made


def pack_many(writer: Writer, kind: type, values: list[Any], depth: int) -> Any:
    """Pack objects of one class together; None if they cannot be, or are of another kind."""
    fields = fields_of(kind)
    if not fields:
        return None
    columns: Iterable[Iterable[Any]]
    if issubclass(kind, tuple):
        if {*map(len, values)} != {len(fields)}:
            return None
        columns = zip(*values, strict=True)
    else:
        try:
            columns = [[*map(_value_of, values, repeat(name))] for name in fields]
        except AttributeError:
            return None
        if kind.__dictoffset__:
            states = map(_value_of, values, repeat("__dict__"))
            if not set(fields).issuperset(chain.from_iterable(states)):
                return None
    packed = (writer.pack_list([*column], depth + 1) for column in columns)
    return {tags.RECORDS: [writer.name_of(kind), fields, *packed]}


def read_records(reader: Reader, content: Any, depth: int) -> list[Any]:
    """Read a list of objects of one class."""
    name, fields, *packed = content
    kind = reader.kind(name, fields)
    columns = reader.columns(packed, depth)
    if len(columns) != len(fields):
        raise WireError("objects have other values than fields")
    if issubclass(kind, tuple):
        return [*map(tuple.__new__, repeat(kind), zip(*columns, strict=True))]
    if issubclass(kind, msgspec.Struct):
        return _make_structs(kind, fields, columns)
    made = [*map(object.__new__, repeat(kind, len(columns[0])))]
    for field, column in zip(fields, columns, strict=True):
        deque(map(object.__setattr__, made, repeat(field), column), 0)
    return made


def _make_structs(
    kind: type[msgspec.Struct], fields: list[str], columns: list[list[Any]]
) -> list[msgspec.Struct]:
    # They can only be made by a call, but there is no code of theirs in it: see _look_at.
    try:
        return [*map(kind, *columns)]
    except TypeError:  # some fields are to be named
        rows = zip(*columns, strict=True)
        return [kind(**dict(zip(fields, row, strict=True))) for row in rows]


def find(name: Any, fields: Any) -> type:
    """Return the class of this name, if it has these fields.

    Raises:
        NotSendable: It is not there, or is of another kind, or has other fields.
    """
    kind = classes.find(name)
    here = fields_of(kind)
    if here is None:
        raise classes.unlike(name, "is another kind of class here than where the value came from")
    if fields != list(here):
        raise classes.unlike(
            name,
            f"has the fields {', '.join(here)} here, but {', '.join(fields)} where the value came "
            "from",
        )
    return kind
