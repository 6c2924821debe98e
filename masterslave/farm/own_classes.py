"""Values that were pickled in an earlier run of the script, with classes of the script's own.

cloudpickle has such a class travel as it is, and knows it again in the process that it came from.
In another one it would make a second class of the same name, of which nothing in the script is an
instance. So here a class of ``__main__`` is the one that the script has under that name now.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Mapping
from typing import Any

import cloudpickle.cloudpickle as by_value

from masterslave.errors import NotPicklable

__all__ = ["loads"]

_MAIN = "__main__"


def loads(data: bytes | memoryview) -> Any:
    """Return what was pickled.

    Raises:
        NotPicklable: It is of a class that the script does not have any more, or has twice.
        Exception: Whatever unpickling raises.
    """
    return _Unpickler(io.BytesIO(data)).load()


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._own: set[type] = set()

    def find_class(self, module: str, name: str) -> Any:
        if module == by_value.__name__:
            stand_in = {
                "_make_skeleton_class": self._class,
                "_make_skeleton_enum": self._enum,
                "_class_setstate": self._fill,
            }.get(name)
            if stand_in is not None:
                return stand_in
        return super().find_class(module, name)

    def _class(self, kind: Any, name: str, bases: Any, values: dict[str, Any], *more: Any) -> type:
        if values.get("__module__") == _MAIN:
            return self._find(name)
        made: type = by_value._make_skeleton_class(kind, name, bases, values, *more)
        return made

    def _enum(
        self, bases: Any, name: str, qualname: str, members: Any, module: str, *more: Any
    ) -> type:
        if module == _MAIN:
            return self._find(name)
        made: type = by_value._make_skeleton_enum(bases, name, qualname, members, module, *more)
        return made

    def _fill(self, kind: type, state: Any) -> type:
        if kind not in self._own:
            by_value._class_setstate(kind, state)
        return kind

    def _find(self, name: str) -> type:
        own = _classes_in(vars(sys.modules[_MAIN]), set())
        found = {kind for kind in own if kind.__name__ == name}
        if len(found) != 1:
            has = "has no class" if not found else "has more than one class"
            raise NotPicklable(
                f"it is of a class {name} of the script as it was then, and the script {has} of "
                "this name now: run the task again (masterslave invalidate), or return plain data"
            )
        self._own |= found
        return found.pop()


def _classes_in(namespace: Mapping[str, Any], found: set[type]) -> set[type]:
    """Add the classes of the script that stand in a namespace, and those in these."""
    for value in list(namespace.values()):
        if isinstance(value, type) and value.__module__ == _MAIN and value not in found:
            found.add(value)
            _classes_in(vars(value), found)
    return found
