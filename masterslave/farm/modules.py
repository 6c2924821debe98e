"""Where a script finds modules, and which of them are its own.

*Local* modules are those beside the script, in its project's directory, or in a directory that the
script or ``PYTHONPATH`` has added to the search path; not those of the standard library, nor what
was installed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import site
import sys
import sysconfig
from pathlib import Path

__all__ = ["is_installed", "is_local_folder", "is_ours", "may_travel", "search_path"]

_OURS = {"masterslave", "remoteobj", "nameserver", "msgspec", "cloudpickle"}
"""What every slave has of its own, and a child may have imported already."""

_PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg", ".git", ".hg")
_INSTALLED_IN = {"site-packages", "dist-packages"}


def search_path() -> tuple[str, ...]:
    """Return where this script finds what was installed, beside the interpreter's own places."""
    own = {str(Path(prefix).resolve()) for prefix in (sys.prefix, sys.base_prefix)}
    entries = [found for entry in sys.path if (found := _resolved(entry)) is not None]
    return tuple(
        str(entry)
        for entry in entries
        if entry.is_dir()
        and not any(str(parent) in own for parent in (entry, *entry.parents))
        and not is_local_folder(str(entry), str(entry))
    )


def may_travel(name: str) -> bool:
    """Tell whether a module of this name is ever sent."""
    top = name.partition(".")[0]
    return top not in sys.stdlib_module_names and not is_ours(name) and top != "__main__"


def is_ours(name: str) -> bool:
    """Tell whether a module is of what the farm is made of, which every slave has."""
    return name.partition(".")[0] in _OURS


def is_installed(file: str) -> bool:
    """Tell at a glance whether a file is the standard library's, or was installed."""
    return file.startswith(_beginnings())


@functools.cache
def _beginnings() -> tuple[str, ...]:
    found = {f"{each}{os.sep}" for each in _libraries()}
    found |= {f"{os.path.abspath(each)}{os.sep}" for each in _library_paths()}
    return tuple(found)


def is_local_folder(folder: str, base: str) -> bool:
    """Tell whether modules in a folder are the script's own.

    Args:
        base: Where the search for them begins: the folder that the outermost package is in.
    """
    return _is_local(folder, base, tuple(sys.path), _place_of_script())


def _place_of_script() -> str:
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return str(Path(script).parent) if script else ""


@functools.lru_cache(maxsize=4096)
def _is_local(folder: str, base: str, path: tuple[str, ...], script: str) -> bool:
    here = _resolved(folder)
    if here is None or _INSTALLED_IN.intersection(here.parts) or _is_below(here, _libraries()):
        return False
    home = _resolved(script)  # of an interactive session: where it was started
    is_own = home is not None and not _INSTALLED_IN.intersection(home.parts)
    if home is not None and is_own and _is_below(here, (home, _project_of(home))):
        return True
    start = _resolved(base)
    if start is None or not any(start == _resolved(entry) for entry in path):
        return False
    return not any(start.glob("*.dist-info"))


def _resolved(path: str) -> Path | None:
    with contextlib.suppress(OSError):  # relative to a directory that is gone
        return Path(path).resolve()
    return None


def _is_below(folder: Path, places: tuple[Path, ...]) -> bool:
    return any(place in (folder, *folder.parents) for place in places)


@functools.cache
def _libraries() -> tuple[Path, ...]:
    return tuple({Path(path).resolve() for path in _library_paths()})


def _library_paths() -> list[str]:
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    paths = [sysconfig.get_path(kind) for kind in kinds]
    return [*paths, *site.getsitepackages(), site.getusersitepackages()]


def _project_of(folder: Path) -> Path:
    """Return the nearest folder above that is a project's; the folder itself if there is none."""
    for each in (folder, *folder.parents):
        if any((each / name).exists() for name in _PROJECT_FILES):
            return each
    return folder
