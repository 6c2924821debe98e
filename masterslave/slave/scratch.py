"""Temporary folders of children: what a task leaves in its own is removed with its child.

All of an agent are in one folder, which it keeps locked. One that is not locked any more is of an
agent that was killed: the next one removes it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows, where folders of killed agents stay
    fcntl = None  # type: ignore[assignment]  # a module has no type to say so in

__all__ = ["make_scratch", "remove_scratch", "remove_stale"]

_PREFIX = "ms-"  # short: sockets are made in there, whose paths have at most 104 bytes
_YOUNG_S = 60.0

_lock = threading.Lock()
_folder: list[tuple[Path, int]] = []
_numbers = itertools.count(1)


def make_scratch() -> Path:
    """Make a folder for one child.

    Raises:
        OSError: It cannot be made.
    """
    with _lock:
        if not _folder:
            folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
            _folder.append((folder, _locked(folder)))
        made = _folder[0][0] / str(next(_numbers))
        made.mkdir(0o700)
        return made


def remove_scratch(made: Path) -> None:
    """Remove it with all that is in it; and the folder of all when it was the last one."""
    _remove(made)
    with _lock:
        if _folder:
            folder, descriptor = _folder[0]
            with contextlib.suppress(OSError):  # others are in there
                folder.rmdir()
                _folder.clear()
                if descriptor >= 0:
                    os.close(descriptor)


def remove_stale() -> None:
    """Remove the folders of this user's agents that were killed."""
    if fcntl is None:
        return
    with contextlib.suppress(OSError):
        for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            with contextlib.suppress(OSError):
                status = folder.lstat()
                is_young = time.time() - status.st_mtime < _YOUNG_S
                if status.st_uid != os.getuid() or (is_young and _runs(folder.name)):
                    continue  # who has just made one has not locked it yet
                descriptor = _locked(folder)
                if descriptor >= 0:
                    _remove(folder)
                    os.close(descriptor)


def _runs(name: str) -> bool:
    """Tell whether the agent runs that has made a folder of this name, or any other process."""
    pid = name.removeprefix(_PREFIX).partition("-")[0]
    return not pid.isdecimal() or os.path.exists(f"/proc/{pid}") or sys.platform != "linux"


def _locked(folder: Path) -> int:
    """Lock a folder and return what holds the lock; -1: somebody else has it, or nobody can."""
    if fcntl is None:
        return -1
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return -1
    return descriptor


def _remove(folder: Path) -> None:
    def open_up(function: Callable[..., Any], path: str, _: object) -> None:
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(path), 0o700)
            if function is os.unlink or function is os.rmdir:
                function(path)
            else:
                os.chmod(path, 0o700)
                shutil.rmtree(path, ignore_errors=True)

    shutil.rmtree(folder, onerror=open_up)
