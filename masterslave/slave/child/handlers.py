"""Named tasks in a child: methods of the handlers' instances, which live as long as it does.

A class is imported and an instance made before the first task of it, in the child alone: what the
agent offers it has learnt from a process that looked at the classes and ended (``looking``). What a
farm offers it has looked at itself; its classes have travelled, as functions do.
"""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from ...unoffered import why_not_offered
from .answers import Unable, Unsendable, hidden, one_line
from .frames import SETUP_FAILED, TASK_UNKNOWN

__all__ = ["Handlers"]

_Function = Callable[..., Any]


class Handlers:
    """The handlers of this slave, or those that a farm has given it.

    Args:
        keep: Called when one was set up: what that has changed of the process is to stay.
        offered: By the name of a task, the class that does it: ``module:Class``.
        load: Returns classes that were given, by that name; None: they are imported.
    """

    def __init__(
        self,
        keep: Callable[[], None],
        offered: Mapping[str, str] | None = None,
        load: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        self._keep = keep
        self._offered = offered or {}
        self._load = load
        self._instances: dict[str, Any] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._offered

    def offer(self, offered: dict[str, str], folder: str) -> None:
        """Take note of what this slave offers, and where its modules are found."""
        self._offered = offered
        if folder and folder not in sys.path:
            sys.path.insert(0, folder)

    def function_of(self, name: str) -> _Function:
        """Return what runs tasks of this name; what is wrong with it, a call of it raises."""
        method: _Function | None = None

        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal method
            if method is None:
                method = self._method_of(name)
            try:
                return method(*args, **kwargs)
            except TypeError as error:
                if error.__traceback__ is not None and error.__traceback__.tb_next is None:
                    _check_call(name, method, args, kwargs)
                raise

        hidden.add(call.__code__)
        call.__qualname__ = f"{self._offered.get(name, '').partition(':')[2] or 'Slave'}.do_{name}"
        return call

    def close(self) -> None:
        """The child ends: let the handlers clean up."""
        for instance in self._instances.values():
            try:
                instance.teardown()
            except BaseException:  # the other ones clean up, too
                traceback.print_exc()
        self._instances.clear()

    def _method_of(self, name: str) -> _Function:
        spec = self._offered.get(name)
        if spec is None:
            raise Unable(TASK_UNKNOWN, why_not_offered([name], self._offered))
        instance = self._instances.get(spec)
        if instance is None:
            instance = self._instances[spec] = _make(spec, self._load)
            self._keep()
        method: _Function = getattr(instance, f"do_{name}")
        return method


def _make(spec: str, load: Callable[[], Mapping[str, Any]] | None) -> Any:
    try:
        made: Any = _import(spec) if load is None else load()[spec]
        instance: Any = made()
        instance.setup()
    except BaseException as error:  # sys.exit() in it, too, ends nothing but this task
        what = f"{type(error).__name__}: {one_line(error)}".removesuffix(": ")
        raise Unsendable(SETUP_FAILED, f"{spec} could not be set up: {what}") from error
    return instance


def _import(spec: str) -> Any:
    module, _, name = spec.partition(":")
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _check_call(name: str, method: _Function, args: Any, kwargs: Any) -> None:
    """Say how a task is called, if it was called otherwise.

    Raises:
        TypeError: It was.
    """
    try:
        signature = inspect.signature(method)
    except (ValueError, TypeError):
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        parameters = [one.replace(annotation=one.empty) for one in signature.parameters.values()]
        plain = signature.replace(parameters=parameters, return_annotation=signature.empty)
        raise TypeError(f"task {name!r} is called as {name}{plain}: {error}") from None


hidden |= {
    Handlers._method_of.__code__,
    _make.__code__,
    _import.__code__,
    _check_call.__code__,
    import_module.__code__,
}
