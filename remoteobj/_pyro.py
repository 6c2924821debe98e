"""Pyro5's object model, and what its peers are called on the wire.

A member is exposed by a mark on it, the one that Pyro5's own decorators leave: either is understood
by both. Pyro5 is not imported for that: with the ``ssl`` that it imports and nothing here uses, it
is more than 1 MiB in each process. What a script has told Pyro5 of its classes is looked up there,
if the script has imported it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

_T = TypeVar("_T")

# fmt: off
_PRIVATE = frozenset((
    "__init__", "__init_subclass__", "__class__", "__module__", "__weakref__", "__call__",
    "__new__", "__del__", "__repr__", "__str__", "__format__", "__nonzero__", "__bool__",
    "__coerce__", "__cmp__", "__eq__", "__ne__", "__hash__", "__ge__", "__gt__", "__le__",
    "__lt__", "__dir__", "__enter__", "__exit__", "__copy__", "__deepcopy__", "__sizeof__",
    "__getattr__", "__setattr__", "__hasattr__", "__getattribute__", "__delattr__",
    "__instancecheck__", "__subclasscheck__", "__getinitargs__", "__getnewargs__",
    "__getstate__", "__setstate__", "__reduce__", "__reduce_ex__", "__subclasshook__",
))
# fmt: on
"""Names that are not called remotely, though they begin and end with two underscores."""

_MODES = ("single", "session", "percall")
_PARTS = ("fget", "fset", "fdel")


def is_private(name: str) -> bool:
    """Tell whether Pyro's rules keep an attribute of this name from being called remotely."""
    if not name.startswith("_"):
        return False
    is_dunder = len(name) > 4 and name.startswith("__") and name.endswith("__")
    return name in _PRIVATE or not is_dunder


def expose(target: Any) -> Any:
    """Mark a function, a property, or what is public of a class: it may be called from elsewhere.

    Raises:
        AttributeError: The name is private, or the order of decorators is wrong; see the message.

    Source: ``Pyro5.server.expose``.
    """
    if isinstance(target, classmethod | staticmethod):
        raise AttributeError(
            "using @expose on a classmethod/staticmethod must be done after "
            f"@classmethod/@staticmethod. Method: {target.__func__.__name__}"
        )
    is_property = inspect.isdatadescriptor(target)
    named = next(filter(None, _parts_of(target)), target) if is_property else target
    name = getattr(named, "__name__", None)
    if not name:
        raise AttributeError(f"@expose cannot determine what this is: {target!r}")
    if is_private(name):
        raise AttributeError("exposing private names (starting with _) is not allowed")
    if inspect.isclass(target):
        for each in [name for name in vars(target) if not is_private(name)]:
            _expose_member(getattr(target, each))
    named._pyroExposed = True
    return target


def _expose_member(member: Any) -> None:
    """Mark a class's method or property, whatever is behind it; and nothing else."""
    function: Any = member.__func__ if inspect.ismethod(member) else member
    marked = [function]
    if inspect.isdatadescriptor(member):
        marked = [*filter(None, _parts_of(member))]
    elif not (inspect.isfunction(function) or inspect.ismethoddescriptor(function)):
        return
    for each in marked:
        each._pyroExposed = True


def _parts_of(member: Any) -> list[Any]:
    return [getattr(member, part, None) for part in _PARTS]


def oneway(method: _T) -> _T:
    """Mark a method: who calls it does not wait for an answer."""
    method._pyroOneway = True  # type: ignore[attr-defined]  # the mark, which functions take
    return method


def behavior(
    instance_mode: str = "session", instance_creator: Callable[[type], Any] | None = None
) -> Callable[[_T], _T]:
    """Say for whom instances of a class are made, where the class itself is published.

    Args:
        instance_mode: ``"single"``: one for all; ``"session"``: for each connection; ``"percall"``.
        instance_creator: Makes one, given the class; default: the class itself.
    Raises:
        ValueError: There is no such mode.
        TypeError: It marks something else than a class, or the creator cannot be called.
        SyntaxError: It is written without brackets.

    Source: ``Pyro5.server.behavior``.
    """
    if not isinstance(instance_mode, str):
        raise SyntaxError("behavior decorator is missing argument(s)")

    def mark(cls: Any) -> Any:
        if not inspect.isclass(cls):
            raise TypeError("behavior decorator can only be used on a class")
        if instance_mode not in _MODES:
            raise ValueError(f"invalid instance mode: {instance_mode}")
        if instance_creator and not callable(instance_creator):
            raise TypeError("instance_creator must be a callable")
        cls._pyroInstancing = (instance_mode, instance_creator)  # type: ignore[attr-defined]
        return cls

    return mark


DAEMON_ID = "Pyro.Daemon"
SERPENT = 1
SERIALIZER_NAMES = {1: "serpent", 2: "marshal", 3: "json", 4: "msgpack"}

URI_CLASS = "Pyro5.core.URI"
PROXY_CLASS = "Pyro5.client.Proxy"
"""What Pyro5 writes in place of its own objects."""

NO_SUCH_OBJECT = "there is no object"
"""How our daemon's answer begins where a peer asks for an id that it does not publish."""

TRACEBACK_ATTRIBUTE = "_pyroTraceback"
"""Where Pyro5 keeps the lines of the remote traceback on an exception."""


def is_exposed(member: Any) -> bool:
    """Tell whether a function carries the mark of ``@expose``."""
    return getattr(member, "_pyroExposed", False) is True


def is_oneway(member: Any) -> bool:
    """Tell whether a function carries the mark of ``@oneway``."""
    return getattr(member, "_pyroOneway", False) is True


def instancing_of(cls: type) -> tuple[str, Callable[[type], Any] | None]:
    """Return what ``@behavior`` said of a class: its instance mode, and who makes instances."""
    mode, creator = getattr(cls, "_pyroInstancing", ("session", None))
    return mode, creator


def registered_writer(value: Any) -> Callable[[Any], dict[str, Any]] | None:
    """Return what Pyro5 was told to describe *value* with (``register_class_to_dict``), if any."""
    known: dict[type, Any] = _told_to_pyro("class_to_dict")
    return next((write for cls, write in [*known.items()] if isinstance(value, cls)), None)


def registered_reader(class_name: str) -> Callable[[dict[str, Any]], Any] | None:
    """Return what Pyro5 was told to rebuild a class with (``register_dict_to_class``), if any."""
    read = _told_to_pyro("dict_to_class").get(class_name)
    return None if read is None else partial(read, class_name)


def _told_to_pyro(what: str) -> dict[Any, Any]:
    """Return what a script has registered; it must have imported Pyro5 to do so."""
    serializers = sys.modules.get("Pyro5.serializers")
    base = getattr(serializers, "SerializerBase", None)  # none while it is being imported
    found: dict[Any, Any] = getattr(base, f"_SerializerBase__custom_{what}_registry", {})
    return found


def says_object_unknown(answer: Any) -> bool:
    """Tell whether a daemon, ours or Pyro5's, refused a caller because it has no such object."""
    return any(words in str(answer) for words in (NO_SUCH_OBJECT, "unknown object"))
