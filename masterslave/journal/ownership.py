"""Who has a journal: one process at a time, by a locked file beside it.

The kernel's lock ends with the process, however it ends. The file says who has it, for whoever
comes in vain, and which row of facts was written last: a journal that has fewer when it is opened
has lost some, to an old copy, say, or with its log file.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from masterslave.errors import JournalInUse, JournalUnusable
from masterslave.journal.database import beside
from remoteobj.runtime import LockedFile
from remoteobj.unreadable import UNREADABLE

__all__ = ["Claim", "Ownership"]


_LOOKS, _LOOK_S = 3, 0.02  # seconds between them


class Claim(Struct, frozen=True):
    """What the locked file says: who, and the last run and row of facts that it knows of."""

    pid: int
    host: str
    run: int = 0
    seq: int = 0


class Ownership:
    """The lock of a journal.

    Attributes:
        before: What the one before has left; None where it has ended in peace, or is not known.
    """

    def __init__(self, file: LockedFile, before: Claim | None) -> None:
        self.before = before
        self._file = file
        self._claim = Claim(os.getpid(), platform.node())

    @classmethod
    def take(cls, path: Path) -> Ownership:
        """Lock a journal.

        Raises:
            JournalInUse: Another process has it, or this one has, already.
            JournalUnusable: There can be no file there.
        """
        lock = beside(path, ".lock")
        try:
            file = _acquire(lock)
        except OSError as error:
            raise JournalUnusable(
                f"{path} cannot be a journal: {lock.name} cannot be made beside it "
                f"({error.strerror}); give a path in a directory that is there and is yours"
            ) from error
        claim = _read(lock)
        if file is None:
            raise JournalInUse(f"{path} is in use {_by(claim)}")
        return cls(file, claim)

    @staticmethod
    def is_taken(path: Path) -> bool:
        """Tell whether a process has a journal now."""
        return LockedFile.is_held(beside(path, ".lock"))

    def note(self, run: int, seq: int) -> None:
        """Note which run it is, and which row of facts was written last."""
        self._claim = Claim(self._claim.pid, self._claim.host, run, seq)
        with contextlib.suppress(OSError):  # it is a hint: the journal itself does not need it
            self._file.write(msgspec.json.encode(self._claim))

    def missing_after(self, seq: int) -> int:
        """Return how many rows of facts are missing in a journal whose last one is *seq*."""
        return max(0, self.before.seq - seq) if self.before is not None else 0

    def forget_rows(self) -> None:
        """Say nothing of rows any more: they are about to be numbered anew."""
        if self.before is not None:
            self.before = msgspec.structs.replace(self.before, seq=0)
            self.note(self.before.run, 0)

    def release(self, *, in_peace: bool) -> None:
        """Let go of the journal; *in_peace*: nothing that was acknowledged can be missing."""
        if in_peace:
            self._file.remove()
        else:
            self._file.close()


def _acquire(lock: Path) -> LockedFile | None:
    """Lock the file; who only looks whether somebody has it holds it for a moment as well."""
    for _ in range(_LOOKS):
        file = LockedFile.acquire(lock)
        if file is not None:
            return file
        time.sleep(_LOOK_S)
    return None


def _read(path: Path) -> Claim | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Claim)
    except (OSError, *UNREADABLE):
        return None


def _by(claim: Claim | None) -> str:
    if claim is None:
        return "by another process: wait until it has ended, or give a path of its own"
    if claim.host == platform.node() and claim.pid == os.getpid():
        return "by this process, already: close that farm before, or give a path of its own"
    return (
        f"by process {claim.pid} on {claim.host}: wait until that has ended, or give a path of its "
        "own ('masterslave list' shows the farms that run)"
    )
