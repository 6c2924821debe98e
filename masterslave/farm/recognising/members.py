"""What classes and instances are made of, as far as it is theirs and lasts."""

from __future__ import annotations

import copyreg
import enum
import logging
import threading
import types
import weakref
from typing import Any

from masterslave.farm.packing import reason_of
from masterslave.journal.canonical import NoIdentity

__all__ = ["HOLLOW", "annotations_of", "jitted", "members_of", "reduced"]

_OF_A_CLASS = {"__module__", "__qualname__", "__dict__", "__weakref__", "__firstlineno__",
               "__static_attributes__", "__annotations__", "__annotate__", "__annotate_func__",
               "__annotations_cache__", "__orig_bases__", "__parameters__",
               "_abc_impl"}  # fmt: skip
"""What a class has of where it stands, or has from its other members."""

_PLACES = types.MemberDescriptorType | types.GetSetDescriptorType
_METHODS = (types.FunctionType, staticmethod, classmethod)
HOLLOW: tuple[type, ...] = (
    type(threading.Lock()), type(threading.RLock()), threading.local, logging.Logger,
    weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet,
)  # fmt: skip
"""What has nothing of its own that a task computes with: known by its class alone."""


def members_of(kind: type) -> dict[str, Any]:
    """Return what a class has of its own, but for members of an enum, and annotations."""
    values = dict(vars(kind))
    if issubclass(kind, enum.Enum):
        values = {key: each for key, each in values.items() if _is_of_enum(kind, key, each)}
    if _is_told_by_dataclass(kind):
        values.pop("__doc__", None)
    return {
        key: each
        for key, each in values.items()
        if key not in _OF_A_CLASS and not isinstance(each, _PLACES)
    }


def _is_of_enum(kind: type[enum.Enum], key: str, value: Any) -> bool:
    """Tell whether a member of a class is no member of the enum, nor made for these."""
    if key in kind.__members__ or type(value) is enum.property:
        return False
    is_made = key.startswith("_") and not key.startswith("__") and key.endswith("_")
    return not is_made or isinstance(value, _METHODS)


def _is_told_by_dataclass(kind: type) -> bool:
    """Tell whether a class's docstring is its signature, with the defaults' addresses in it."""
    text = kind.__doc__ or ""
    return "__dataclass_fields__" in vars(kind) and text.startswith(f"{kind.__name__}(")


def annotations_of(said: Any, module: str) -> list[tuple[str, str]]:
    """Return annotations, by what they are called."""
    if not isinstance(said, dict):
        return []
    return [(str(name), _annotation(each, module)) for name, each in said.items()]


def _annotation(said: object, module: str) -> str:
    if isinstance(said, str):
        return said
    if isinstance(said, type) and not isinstance(said, types.GenericAlias):
        return said.__qualname__
    try:
        text = repr(said)
    except Exception:  # whatever its class does
        text = " at 0x"
    return type(said).__qualname__ if " at 0x" in text else text.replace(f"{module}.", "")


def jitted(value: Any) -> tuple[Any, ...] | None:
    """Return what a function of numba's is made of: pickle would draw a name for it."""
    kind = type(value)
    if not str(kind.__module__).startswith("numba.") or not hasattr(value, "py_func"):
        return None
    return kind, value.py_func, getattr(value, "targetoptions", None)


def reduced(value: Any) -> Any:
    """Return what pickle would make of an instance.

    Raises:
        NoIdentity: It can make nothing of it.
    """
    kind = type(value)
    try:
        reducer: Any = copyreg.dispatch_table.get(kind)
        made = reducer(value) if reducer else value.__reduce_ex__(4)
    except Exception as error:
        raise NoIdentity(f"it cannot be looked at: {reason_of(error)}") from None
    if not isinstance(made, str) and (not isinstance(made, tuple) or len(made) < 2):
        raise NoIdentity("it does not say what it is made of")
    return made
