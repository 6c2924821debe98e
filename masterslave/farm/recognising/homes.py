"""What is known by its name and its release, and so by no content: what was installed.

All else is known by what it is: what stands in the script, in its own modules, or was made while it
runs.
"""

from __future__ import annotations

import functools
import sys
from importlib import metadata
from typing import Any

import cloudpickle

from masterslave.farm.modules import is_installed, is_ours

__all__ = ["RELEASE", "home_of", "home_of_instance", "is_by_name", "local_home_of", "release_of"]

RELEASE = sys.implementation.cache_tag or sys.version
"""Of the Python that runs this: ``cpython-312``."""


def is_by_name(module: str) -> bool:
    """Tell whether what stands in a module is known by its name."""
    if module.partition(".")[0] in sys.stdlib_module_names or is_ours(module):
        return True
    if module in cloudpickle.list_registry_pickle_by_value():
        return False
    found = sys.modules.get(module)
    spec = getattr(found, "__spec__", None)
    origin = getattr(spec, "origin", None) or getattr(found, "__file__", None)
    if isinstance(origin, str):
        return origin in ("built-in", "frozen") or is_installed(origin)
    places = getattr(spec, "submodule_search_locations", None) or ()  # a package without __init__
    return any(map(is_installed, places))


def home_of(thing: Any) -> tuple[str, str] | None:
    """Return the module and the name by which something is found that was installed.

    None: it is the script's own, or was made while it runs.
    """
    try:
        module, name = _said_by(thing)
    except Exception:  # whatever its class does
        return None
    if not isinstance(module, str) or not isinstance(name, str) or not is_by_name(module):
        return None
    return (module, name) if _find(module, name) is thing else None


def home_of_instance(value: Any) -> tuple[str, str] | None:
    """Return the module and the name of an instance that an installed module made of a class of
    its own: ``os.environ``, and the generator behind ``random.gauss``. Slaves have theirs.
    """
    module = type(value).__module__
    if not isinstance(module, str) or not is_by_name(module):
        return None
    names = vars(sys.modules.get(module, object))
    known = _instances.get(module)
    if known is None or known[0] != len(names):
        found = {id(each): name for name, each in [*names.items()]}
        known = _instances[module] = (len(names), found)
    name = known[1].get(id(value))
    return (module, name) if name is not None and names.get(name) is value else None


_instances: dict[str, tuple[int, dict[int, str]]] = {}


def local_home_of(thing: Any) -> str | None:
    """Return the script's own module in which slaves find a function or class by its name.

    None: it travels as it is.
    """
    try:
        module, name = _said_by(thing)
    except Exception:  # whatever its class does
        return None
    if module == "__main__" or module in cloudpickle.list_registry_pickle_by_value():
        return None
    is_found = isinstance(module, str) and _find(module, name) is thing
    return module if is_found and not is_by_name(module) else None


def _said_by(thing: Any) -> tuple[Any, Any]:
    return thing.__module__, getattr(thing, "__qualname__", None) or thing.__name__


def _find(module: str, name: str) -> Any:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


@functools.cache
def release_of(module: str) -> str:
    """Return the release of what a module was installed with; of the standard library, Python's.

    Empty: it was not installed. This does not depend on what is imported already.
    """
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return RELEASE
    try:
        return metadata.version(top)
    except (metadata.PackageNotFoundError, ValueError):
        pass
    releases = {metadata.version(each) for each in _distributions().get(top, ())}
    return " ".join(sorted(releases))


@functools.cache
def _distributions() -> Any:
    return metadata.packages_distributions()
