"""Where a journal may be: a file, or none yet."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from masterslave.errors import JournalUnusable

__all__ = ["checked"]

_KINDS = {
    stat.S_IFDIR: "a folder: name a file in it",
    stat.S_IFIFO: "a FIFO: give a path of its own",
    stat.S_IFSOCK: "a socket: give a path of its own",
    stat.S_IFCHR: "a device: give a path of its own",
    stat.S_IFBLK: "a device: give a path of its own",
    stat.S_IFLNK: "a link that leads nowhere: give a path of its own",
}


def checked(path: object) -> Path:
    """Return the path of a journal, with links followed.

    Raises:
        JournalUnusable: There can be none: it is no path, or something else is there. The message
            says what, and what to do.
    """
    named = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(named, str) or not named or "\0" in named:
        raise JournalUnusable(f"{path!r} is no path of a journal: name a file, as in 'survey.db'")
    real = Path(os.path.realpath(named))
    try:
        kind = stat.S_IFMT(real.lstat().st_mode)
    except OSError:  # it is to be made; what else is wrong, who makes it says
        return real
    if kind != stat.S_IFREG:
        raise JournalUnusable(f"{real} cannot be a journal: it is {_KINDS.get(kind, 'no file')}")
    return real
