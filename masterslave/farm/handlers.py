"""The handlers that a farm gives to its local slaves, or to its threads: ``Farm(handlers=Render)``.

They are looked at here, in the script, which has them or imports them; the classes travel as what
else the script has does, with its modules.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import cloudpickle

from masterslave.errors import HandlersUnusable, NotPicklable
from masterslave.farm.modules import is_installed
from masterslave.farm.packing import reason_of
from masterslave.farm.travelling import LocalCode
from masterslave.protocol.functions import hash_of
from masterslave.protocol.joining import GivenHandlers
from masterslave.slave.child.looking import Unusable, find, tasks_by_class

__all__ = ["HANDLERS_VARIABLE", "Handlers", "OwnHandlers", "own_handlers"]

HANDLERS_VARIABLE = "REMOTEOBJ_FARM_HANDLERS"
"""Gives handlers to the farms of a script that do not say themselves: ``module:Class``, or several
of them with commas in between."""

Handlers = type[Any] | str | Iterable[type[Any] | str]
"""As a script says them: classes, or where they are: ``"studio:Render"``."""


class OwnHandlers(NamedTuple):
    """Handlers of a farm.

    Attributes:
        classes: By what they are called for people, ``module:Class``.
        given: What travels.
    """

    classes: dict[str, type[Any]]
    given: GivenHandlers

    @property
    def by_task(self) -> dict[str, type[Any]]:
        """The classes, by the tasks that they do."""
        classes = self.classes
        return {task: classes[spec] for task, spec in tasks_by_class(classes).items()}


def own_handlers(said: Handlers | None, code: LocalCode) -> OwnHandlers:
    """Return the handlers that a farm has.

    Args:
        said: What the farm says; None: what the environment says, if it says.
        code: The modules of the script that travel.

    Raises:
        HandlersUnusable: One of them offers nothing, or the same as another.
        NotPicklable: A class uses something that cannot leave this process.
        TypeError: They are no classes of handlers, nor say where one is.
    """
    if said is None:
        said = [spec for spec in os.environ.get(HANDLERS_VARIABLE, "").split(",") if spec.strip()]
    try:
        classes = dict(map(_named, _listed(said)))
        tasks = tasks_by_class(classes)
    except Unusable as error:
        raise HandlersUnusable(str(error)) from None
    return OwnHandlers(classes, _pack(classes, tasks, code) if classes else GivenHandlers())


def _listed(said: Handlers) -> list[type[Any] | str]:
    listed = [said] if isinstance(said, str | type) or not isinstance(said, Iterable) else [*said]
    for each in listed:
        if not isinstance(each, str | type):
            hint = f" (give the class itself, {type(each).__qualname__})" * _is_instance(each)
            raise TypeError(
                "handlers is a class derived from masterslave.Slave, its place as 'module:Class', "
                f"or a list of these, not {each!r}{hint}"
            )
    return listed


def _is_instance(thing: object) -> bool:
    return any(kind.__module__ == "masterslave.handlers" for kind in type(thing).__mro__)


def _named(said: type[Any] | str) -> tuple[str, Any]:
    """Return a class, and what it is called for people."""
    if isinstance(said, type):
        return f"{said.__module__}:{said.__qualname__}", said
    spec = said.strip()
    if os.getcwd() not in sys.path and "" not in sys.path:  # where a slave would look for it
        sys.path.append(os.getcwd())
    module, colon, name = spec.partition(":")
    if colon and _is_script(module):  # which is not run a second time for it
        spec = f"__main__:{name}"
    return spec, find(spec)


def _is_script(module: str) -> bool:
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if not file or not module or module in sys.modules:
        return False
    try:
        spec = find_spec(module)
    except Exception:  # of a package above it: to import that will say it
        return False
    return (
        spec is not None
        and spec.origin is not None
        and os.path.realpath(spec.origin) == os.path.realpath(file)
    )


def _pack(classes: dict[str, type[Any]], tasks: dict[str, str], code: LocalCode) -> GivenHandlers:
    try:
        pickled: bytes = cloudpickle.dumps(classes, protocol=5)
    except Exception as error:
        raise NotPicklable(
            f"handlers {', '.join(classes)} cannot be sent to a slave: {reason_of(error)}; make "
            "files, locks and connections in setup()"
        ) from error
    needed = code.look([each for kind in classes.values() for each in _codes_of(kind)])
    return GivenHandlers(tasks, pickled, needed.name, needed.parts, hash_of(pickled + needed.name))


def _codes_of(kind: type[Any]) -> Iterator[CodeType]:
    """Yield the code of a class's methods, as far as they may be the script's."""
    for base in kind.__mro__:
        for value in vars(base).values():
            method = getattr(value, "__func__", value)
            if isinstance(method, FunctionType) and not is_installed(method.__code__.co_filename):
                yield method.__code__
