"""From a call's words to a method of the user's: what is exposed, and on which instance.

No sockets here. A user's object is only read: nothing is written into it, so objects with
``__slots__`` work, and one object may be published by two daemons.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from remoteobj import _pyro
from remoteobj.callers import CallContext

__all__ = ["Exposure", "exposed_members"]

_MOST_PARAMETERS = 32


def exposed_members(cls: type) -> dict[str, frozenset[str]]:
    """Return the names that may be called on instances of *cls*: methods, oneway, attrs."""
    methods, oneway, attrs = set(), set(), set()
    for name in dir(cls):
        if _pyro.is_private(name):
            continue
        member = inspect.getattr_static(cls, name, None)
        if isinstance(member, staticmethod | classmethod):
            member = member.__func__
        if inspect.isdatadescriptor(member):
            if any(
                _pyro.is_exposed(getattr(member, part, None)) for part in ("fget", "fset", "fdel")
            ):
                attrs.add(name)
        elif inspect.isroutine(member) and _pyro.is_exposed(member):
            methods.add(name)
            if _pyro.is_oneway(member):
                oneway.add(name)
    return {"methods": frozenset(methods), "oneway": frozenset(oneway), "attrs": frozenset(attrs)}


def parameters_of(cls: type, method: str) -> list[str]:
    """Return the names of a method's positional parameters, for error messages of callers."""
    member = inspect.getattr_static(cls, method, None)
    is_static = isinstance(member, staticmethod)
    code = getattr(getattr(member, "__func__", member), "__code__", None)
    if code is None:
        return []
    return list(code.co_varnames[0 if is_static else 1 : min(code.co_argcount, _MOST_PARAMETERS)])


def _hint(kind: str, name: str) -> str:
    # By the name alone: what the class has beside what it exposes is nobody's business.
    if _pyro.is_private(name):
        return ": private names cannot be called"
    return f": is it a {kind} that is marked with @expose?"


class Exposure:
    """One object, or one class that makes objects, as a daemon publishes it."""

    __slots__ = ("_cls", "_is_class", "_lock", "_methods", "_single", "_target", "members")

    def __init__(self, target: Any) -> None:
        self._target = target
        self._is_class = isinstance(target, type)
        self._cls: type[Any] = target if self._is_class else type(target)
        self._lock = threading.Lock()
        self._single: Any = None
        self.members: dict[str, frozenset[str]] = exposed_members(self._cls)
        self._methods = self.members["methods"]

    def parameters(self) -> dict[str, list[str]]:
        """Return the positional parameters of each method."""
        return {name: parameters_of(self._cls, name) for name in sorted(self._methods)}

    def call(
        self, context: CallContext, method: str, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        """Run one call, on behalf of whom this thread serves already.

        No instance is made for a name that is not exposed.

        Raises:
            AttributeError: The name is not exposed.
        """
        if method in self._methods:
            servant = self._servant(context) if self._is_class else self._target
            return getattr(servant, method)(*args, **kwargs)
        match method, args:
            case "__getattr__", [str() as name]:
                self._check_exposed("attrs", name)
                return getattr(self._servant(context), name)
            case "__setattr__", [str() as name, value]:
                self._check_exposed("attrs", name)
                return setattr(self._servant(context), name, value)
        raise self.unknown(method)

    def unknown(self, method: str) -> AttributeError:
        """Return what says that there is no such method."""
        return AttributeError(
            f"{self._cls.__name__} exposes no method {method!r}{_hint('method', method)}"
        )

    def _check_exposed(self, kind: str, name: str) -> None:
        if name not in self.members[kind]:
            raise AttributeError(
                f"{self._cls.__name__} exposes no attribute {name!r}{_hint('property', name)}"
            )

    def _servant(self, context: CallContext) -> Any:
        if not self._is_class:
            return self._target
        mode, creator = _pyro.instancing_of(self._cls)
        make: Callable[[], Any] = partial(creator, self._cls) if creator else self._cls
        match mode:
            case "single":
                with self._lock:
                    if self._single is None:
                        self._single = make()
                    return self._single
            case "session":
                return context.session().instance(self._cls, make)
            case _:
                return make()
