"""Looks at the classes of ``--handlers`` in a process of its own: what tasks do they offer?

So a slave refuses bad ones before it starts anything, and its agent imports nothing of its user's.
What is found, or what is wrong in words, goes to standard output in MessagePack; what the modules
print goes to standard error.
"""

from __future__ import annotations

import inspect
import os
import sys
from importlib import import_module
from typing import Any

import msgspec

from .answers import one_line
from .frames import Offered

__all__ = ["Unusable", "find", "look", "tasks_by_class", "tasks_of"]


class Unusable(Exception):
    """Something is wrong with the classes; the text says what, and what to do."""


def look(specs: list[str]) -> None:
    """Look at the classes ``module:Class``, write what they offer, and end this process."""
    answers = os.dup(1)
    os.dup2(2, 1)
    sys.path.insert(0, os.getcwd())
    try:
        found = Offered(tasks_of(specs))
    except Unusable as error:
        found = Offered({}, str(error))
    except BaseException as error:  # a metaclass of theirs, or sys.exit()
        found = Offered({}, f"{' '.join(specs)}: {type(error).__name__}: {one_line(error)}")
    with os.fdopen(answers, "wb") as stream:
        stream.write(msgspec.msgpack.encode(found))
    os._exit(0)  # threads of theirs do not hold it up


def tasks_of(specs: list[str]) -> dict[str, str]:
    """Return what classes offer: by the name of a task, the class that does it.

    Raises:
        Unusable: One of them offers nothing, or the same as another.
    """
    return tasks_by_class({spec: find(spec) for spec in specs})


def tasks_by_class(classes: dict[str, Any]) -> dict[str, str]:
    """Return what classes offer that were found, as ``tasks_of`` does.

    Args:
        classes: By what they are called for people.

    Raises:
        Unusable: One of them offers nothing, or the same as another.
    """
    offered: dict[str, str] = {}
    by_class: dict[str, str] = {}
    for spec, kind in classes.items():
        if not isinstance(kind, type) or not any(map(_is_base, kind.__mro__[1:])):
            raise Unusable(
                f"{spec} is no class of handlers: it has to be derived from masterslave.Slave"
            )
        name = kind.__qualname__
        if name in by_class:
            raise Unusable(
                f"{by_class[name]} and {spec} are both called {name}: rename one of them"
            )
        by_class[name] = spec
        for task in _names_of(kind, spec):
            if task in offered:
                raise Unusable(
                    f"{offered[task]} and {spec} both have a method do_{task}: rename one"
                )
            offered[task] = spec
    return offered


def find(spec: str) -> Any:
    """Import what is called ``module:Class``.

    Raises:
        Unusable: There is nothing of this name.
    """
    module_name, _, name = spec.partition(":")
    if not module_name or not name or module_name.startswith("."):
        raise Unusable(f"{spec!r} names no class: give MODULE:CLASS, such as studio.tasks:Render")
    try:
        found: Any = import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise Unusable(f"{module_name} cannot be imported: it needs {error.name!r}") from None
        raise Unusable(
            f"there is no module {error.name!r} in {os.getcwd()}, nor among those that are "
            "installed: start this in the folder that it is in"
        ) from None
    except BaseException as error:
        raise Unusable(
            f"{module_name} cannot be imported: {type(error).__name__}: {one_line(error)}"
        ) from None
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise Unusable(f"module {module_name} has no class {name!r}")
    return found


def _is_base(kind: type) -> bool:
    return (kind.__module__, kind.__qualname__) == ("masterslave.handlers", "Slave")


def _names_of(kind: type, spec: str) -> list[str]:
    names = [name.removeprefix("do_") for name in dir(kind) if name.startswith("do_")]
    if not any(names):
        raise Unusable(f"{spec} has no method do_<name>, so it offers no task")
    for name in filter(None, names):
        method = getattr(kind, f"do_{name}")
        if not callable(method):
            raise Unusable(f"do_{name} of {spec} is no method")
        if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
            raise Unusable(f"do_{name} of {spec} is async: tasks are plain methods")
    return [name for name in names if name]
