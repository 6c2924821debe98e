"""Classes travel by their qualified name, and members of enums by their value.

A name is looked up among the modules that are imported here, never imported.
"""

from __future__ import annotations

import enum
import math
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeGuard

from remoteobj.codec import leaves, tags
from remoteobj.codec.refusals import Refused, a
from remoteobj.errors import NotSendable

if TYPE_CHECKING:
    from remoteobj.codec.reading import Reader
    from remoteobj.codec.writing import Writer


_names_in_module = vars(ModuleType)["__dict__"].__get__
_names_in_class = vars(type)["__dict__"].__get__


def _is_class(value: Any) -> TypeGuard[type]:
    return issubclass(type(value), type)


def find(name: Any) -> type:
    """Return the class of this name, if its module is imported.

    Looked up in the namespaces themselves, and not by asking for attributes: that may run code, of
    a module's ``__getattr__``, of a metaclass, of an object that pretends to be a class, and of a
    module that waits for the first such question to be imported.

    Raises:
        NotSendable: It is not there.
    """
    module_name, _, path = name.partition(":")
    found: Any = sys.modules.get(module_name)
    for part in path.split("."):
        if issubclass(type(found), ModuleType):
            found = _names_in_module(found).get(part)
        else:
            found = _names_in_class(found).get(part) if _is_class(found) else None
    if not _is_class(found):
        raise NotSendable(
            f"an object of class {module_name}.{path} arrived, which is not known here: "
            + how_to_know(module_name)
        )
    return found


_SCRIPTS = frozenset({"__main__", "__mp_main__"})
_OF_SCRIPT = (
    "it is defined in the script that was started there, which no other process can import; move "
    "it to a module that both sides import"
)


def how_to_know(module_name: str) -> str:
    """Say what to do about a class of this module, which is not known here."""
    if module_name in _SCRIPTS:
        return _OF_SCRIPT
    return f"import the module that defines it ({module_name})"


def unlike(name: str, words: str) -> NotSendable:
    """Return what says that a class is here not what it is where a value came from."""
    is_of_script = name.partition(":")[0] in _SCRIPTS
    remedy = _OF_SCRIPT if is_of_script else "use the same version of its module on both sides"
    return NotSendable(f"{name.replace(':', '.')} {words}: {remedy}")


def name_of(kind: type) -> str:
    """Return the name by which this class is found.

    Raises:
        Refused: It is not found by its name, or another one is.
    """
    name = f"{kind.__module__}:{kind.__qualname__}"
    try:
        found: Any = find(name)
    except NotSendable:
        found = None
    if found is not kind:
        where = "inside a function" if "<locals>" in name else f"as {name.replace(':', '.')}"
        raise Refused(
            f"{a(kind)} cannot be sent: its class is not found by its name, because it is defined "
            f"{where}; define it at the top of a module, under a name of its own"
        )
    return name


def pack_enum(writer: Writer, member: Any, depth: int) -> Any:
    """Pack a member of an enum."""
    name = writer.name_of(type(member))
    return {tags.ENUM: [name, writer.pack_member(member._value_, depth, ".value")]}


_missing_of_flags = vars(enum.Flag)["_missing_"].__func__


def read_enum(reader: Reader, content: Any, depth: int) -> Any:
    """Read a member of an enum by its value."""
    name, value = content
    kind = find(name)
    value = reader.item(value, depth)
    if not issubclass(kind, enum.Enum):
        raise unlike(name, "is no enum here, but it is where the value came from")
    for member in kind._member_map_.values():
        found = member._value_
        if type(found) is type(value) and (found == value or _are_nan(found, value)):
            return member
    missing: Any = kind._missing_
    if getattr(missing, "__func__", None) is _missing_of_flags:
        return missing(value)  # members together; it is the standard library's, not the user's
    raise unlike(name, f"has no member of value {leaves.shown(value)} here")


def _are_nan(one: Any, other: Any) -> bool:
    return type(one) is float and math.isnan(one) and math.isnan(other)
