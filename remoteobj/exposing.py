"""What is exposed, and for whom: ``@expose``, and the role that a peer needs for each name.

::

    @expose                                  any member of the cluster may call it (and this user)
    @expose(role="slave")                    slaves may, too
    @expose(role="operator")                 only this user, and who administers the cluster

A method's role is what its own ``@expose`` says; else what that of its class says; an override that
says nothing keeps the role of what it overrides. A class of an operator's hands that on to the new
methods of classes that are derived from it. All else is a member's, as is whatever Pyro5's own
``expose`` has marked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, TypeVar, overload

from remoteobj import _pyro
from remoteobj.errors import BadInput
from remoteobj.identity.claims import ROLES

__all__ = ["LEVELS", "MEMBER", "expose", "level_of", "role_of"]

_T = TypeVar("_T")

LEVELS: Final = {role: level for level, role in enumerate(ROLES)}
"""A role as a number: who has a higher one may do more."""

MEMBER: Final = "member"
_MARK = "_remoteobj_role"
_PARTS = ("fget", "fset", "fdel")


@overload
def expose(target: _T, /) -> _T: ...
@overload
def expose(*, role: str) -> Callable[[_T], _T]: ...


def expose(target: Any = None, /, *, role: str | None = None) -> Any:
    """Mark a method, a property or a class: it may be called from elsewhere.

    Args:
        target: What is marked, where this is written without brackets; of a class, its public
            methods and properties are.
        role: Who may call it: ``"slave"``, ``"member"`` (what holds without a word) or
            ``"operator"``; each may do what those before it may. A process of this user that comes
            by the Unix socket is an operator; whoever comes by plain TCP is a member.

    Raises:
        BadInput: *role* is none of them.
        AttributeError: The name is private, or the order of decorators is wrong; see the message.

    Blocks: no.  Threads: any.
    """
    if role is not None and role not in LEVELS:
        raise BadInput(f"@expose(role={role!r}): it is one of {', '.join(ROLES)}")
    if target is not None:
        return _pyro.expose(target)

    def mark(target: _T) -> _T:
        exposed: _T = _pyro.expose(target)
        if role is not None:
            setattr(_marked_part(exposed), _MARK, role)
        return exposed

    return mark


def _marked_part(member: Any) -> Any:
    """Return what of a member carries its mark: a property is marked at one of its functions."""
    if inspect.isdatadescriptor(member):
        return next(part for name in _PARTS if (part := getattr(member, name, None)) is not None)
    return member


def role_of(cls: type, name: str) -> str:
    """Return the role that a peer needs for a name of *cls* that is exposed."""
    for base in cls.__mro__:
        if name not in vars(base):
            continue
        role = _role_on(vars(base)[name]) or vars(base).get(_MARK)
        if role is not None:
            return str(role)
    is_operators = any(vars(base).get(_MARK) == ROLES[-1] for base in cls.__mro__)
    return ROLES[-1] if is_operators else MEMBER


def _role_on(member: Any) -> str | None:
    """Return the role that a method or a property is marked with, the strictest of its parts."""
    if isinstance(member, staticmethod | classmethod):
        member = member.__func__
    parts = [member]
    if inspect.isdatadescriptor(member):
        parts = [getattr(member, name, None) for name in _PARTS]
    roles = [role for part in parts if (role := getattr(part, _MARK, None)) in LEVELS]
    return max(roles, key=LEVELS.__getitem__, default=None)


def level_of(role: str) -> int:
    """Return a role as a number."""
    return LEVELS[role]
