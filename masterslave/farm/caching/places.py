"""Where the results of ``cache=True`` lie: a directory for each script, in that of this user.

::

    ~/.cache/remoteobj/results/          $XDG_CACHE_HOME/remoteobj/results; on macOS below
        survey-1f0c93a2/                 ~/Library/Caches, on Windows below %LOCALAPPDATA%
            1.db  2.db                   volumes, each a journal with the script's path as its label

A script is known by its path; where there is none, as in a notebook, by the working directory.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

__all__ = ["folder_of", "results_dir", "script_here", "volumes_in"]

_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_VOLUME = re.compile(r"([1-9][0-9]{0,8})\.db")


def results_dir() -> Path:
    """Return this user's directory of results, whether it exists or not.

    Raises:
        OSError: The account has no home: set ``XDG_CACHE_HOME``.
    """
    base = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # the XDG specification has another value ignored
        return Path(base, "remoteobj", "results")
    try:
        home = Path.home()
    except RuntimeError as error:
        raise OSError("this account has no home directory: set XDG_CACHE_HOME") from error
    caches = home / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return caches / "remoteobj" / "results"


def script_here() -> Path:
    """Return the script that this process runs; a package run by -m; or the working directory."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if not isinstance(file, str) or not os.path.exists(file):
        return Path.cwd()
    path = Path(os.path.realpath(file))
    return path.parent if path.name == "__main__.py" else path


def folder_of(script: Path) -> Path:
    """Return the directory of a script's results, whether it exists or not.

    Raises:
        OSError: As ``results_dir``.
    """
    path = os.path.realpath(script)
    digest = hashlib.blake2b(os.fsencode(path), digest_size=4).hexdigest()
    name = _ODD.sub("_", Path(path).stem)[:40] or "script"
    return results_dir() / f"{name}-{digest}"


def volumes_in(folder: Path) -> list[Path]:
    """Return the volumes in a script's directory, the newest first."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    found = {int(match[1]): folder / match[0] for match in map(_VOLUME.fullmatch, names) if match}
    return [found[number] for number in sorted(found, reverse=True)]
