"""Where a script finds modules, for slaves on its machine."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

__all__ = ["search_path"]


def search_path() -> tuple[str, ...]:
    """Return where this script finds modules beside those of the interpreter itself."""
    own = {str(Path(prefix).resolve()) for prefix in (sys.prefix, sys.base_prefix)}
    entries = []
    for entry in sys.path:
        with contextlib.suppress(OSError):  # relative to a directory that is gone
            entries.append(Path(entry).resolve())
    return tuple(
        str(entry)
        for entry in entries
        if entry.is_dir() and not any(str(parent) in own for parent in (entry, *entry.parents))
    )
