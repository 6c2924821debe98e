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
from remoteobj.errors import NotAllowed
from remoteobj.exposing import LEVELS, level_of, role_of

__all__ = ["Exposure", "View", "exposed_members"]

_MOST_PARAMETERS = 32
_OF_ATTRIBUTES = ("__getattr__", "__setattr__")


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
    """One object, or one class that makes objects, as a daemon publishes it.

    Attributes:
        members: All that is exposed of it: methods, oneway, attrs.
        views: What of it a peer may call, for each level of ``LEVELS``; decided here, once, so that
            no call looks for a role.
    """

    __slots__ = ("_cls", "_is_class", "_lock", "_roles", "_single", "_target", "members", "views")

    def __init__(self, target: Any) -> None:
        self._target = target
        self._is_class = isinstance(target, type)
        self._cls: type[Any] = target if self._is_class else type(target)
        self._lock = threading.Lock()
        self._single: Any = None
        self.members: dict[str, frozenset[str]] = exposed_members(self._cls)
        names = self.members["methods"] | self.members["attrs"]
        self._roles = {name: role_of(self._cls, name) for name in names}
        self.views = tuple(View(self, level) for level in LEVELS.values())

    @property
    def name(self) -> str:
        """The name of its class."""
        return self._cls.__name__

    def role_of(self, name: str) -> str | None:
        """Return the role that is needed for a name; None: it is not exposed."""
        return self._roles.get(name)

    def members_for(self, level: int) -> dict[str, frozenset[str]]:
        """Return what a peer of this level may call."""
        may = {name for name, role in self._roles.items() if level_of(role) <= level}
        return {kind: names & may for kind, names in self.members.items()}

    def parameters(self, methods: frozenset[str]) -> dict[str, list[str]]:
        """Return the positional parameters of these methods."""
        return {name: parameters_of(self._cls, name) for name in sorted(methods)}

    def servant(self, context: CallContext) -> Any:
        """Return the object that answers a call, made where that is due."""
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


class View:
    """What peers of one level may call of an exposure.

    Attributes:
        members: The names: methods, oneway, attrs.
        is_partial: Whether more is exposed, for others.
    """

    __slots__ = ("_exposure", "_methods", "_target", "is_partial", "members")

    def __init__(self, exposure: Exposure, level: int) -> None:
        self._exposure = exposure
        # Where an object is published, and not its class, a call has no need to ask for it.
        self._target = None if exposure._is_class else exposure._target
        self.members = exposure.members_for(level)
        self._methods = self.members["methods"]
        self.is_partial = self.members != exposure.members

    def parameters(self) -> dict[str, list[str]]:
        """Return the positional parameters of each method."""
        return self._exposure.parameters(self._methods)

    def call(
        self, context: CallContext, method: str, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        """Run one call, on behalf of whom this thread serves already.

        No instance is made for a name that may not be called.

        Raises:
            AttributeError: The name is not exposed.
            NotAllowed: It is, but for another role than the peer's.
        """
        if method in self._methods:
            servant = self._target
            if servant is None:
                servant = self._exposure.servant(context)
            return getattr(servant, method)(*args, **kwargs)
        match method, args:
            case "__getattr__", [str() as name]:
                self._check_attr(name)
                return getattr(self._exposure.servant(context), name)
            case "__setattr__", [str() as name, value]:
                self._check_attr(name)
                return setattr(self._exposure.servant(context), name, value)
        raise self.unknown(method)

    def check(self, method: str, attr: str) -> None:
        """Look whether a call may be made, before its arguments are read.

        Args:
            method: Its method.
            attr: The name of the attribute, where it is about one.
        Raises:
            AttributeError, NotAllowed: As from ``call``.
        """
        if method in _OF_ATTRIBUTES:
            self._check_attr(attr)
        elif method not in self._methods:
            raise self.unknown(method)

    def unknown(self, method: str) -> Exception:
        """Return what says that there is no such method for this peer."""
        return self._refusal("method", method)

    def _check_attr(self, name: str) -> None:
        if name not in self.members["attrs"]:
            raise self._refusal("attribute", name)

    def _refusal(self, kind: str, name: str) -> Exception:
        cls, role = self._exposure.name, self._exposure.role_of(name)
        if role is None or name in self._methods or name in self.members["attrs"]:
            hint = "property" if kind == "attribute" else kind
            return AttributeError(f"{cls} exposes no {kind} {name!r}{_hint(hint, name)}")
        return NotAllowed(
            f"{name!r} of {cls} is for peers of role {role!r}, and this one is let in with less: "
            f"have the cluster's authority give its machine a certificate of that role"
        )
