"""Which script has begun a run, and where it looks for modules, to run its tasks again (pure)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from masterslave.journal.facts import Noted

__all__ = ["Script", "note_script", "script_of"]

_SCRIPT = "script"
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


class Script(Struct, frozen=True, array_like=True):
    """A script that has begun a run.

    Attributes:
        file: Its path.
        path: Where it looks for modules.
    """

    run: int
    file: str
    path: tuple[str, ...]


def note_script(script: Script) -> Noted:
    """Return the fact that a run is of this script."""
    return Noted(_SCRIPT, msgspec.msgpack.encode(script))


def script_of(notes: dict[str, list[bytes]], run: int) -> Script | None:
    """Return the script of a run; None: it is not known."""
    return next((one for one in _scripts(notes.get(_SCRIPT, ())) if one.run == run), None)


def _scripts(bodies: Iterable[bytes]) -> Iterable[Script]:
    for body in bodies:
        try:
            yield msgspec.msgpack.decode(body, type=Script)
        except _UNREADABLE:  # of a later release
            continue
