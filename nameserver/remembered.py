"""Where a name server was found last, so that the next search may begin there.

One small file for each cluster and transport, in this user's private directory. It is a hint like
an announcement: who finds nothing there, or another cluster, goes on as if it were not there. It is
replaced in one step, so no reader sees half of it; of two writers the later one wins.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from remoteobj import RemoteObjError
from remoteobj.runtime import runtime_dir

__all__ = ["Memory", "Remembered"]

log = logging.getLogger("nameserver.remembered")


@dataclass(frozen=True, slots=True)
class Remembered:
    """Where a name server answered."""

    address: str
    cluster: str


class Memory:
    """What is remembered for one kind of search.

    Args:
        transport: "tls" or "plain".
        cluster: The one that is searched; None: no one was chosen.
    """

    def __init__(self, transport: str, cluster: str | None) -> None:
        self._name = transport if cluster is None else f"{transport}-{cluster}"

    def recall(self) -> Remembered | None:
        """Return where one was found last; None: it is not known."""
        try:
            words = (_folder() / self._name).read_text("utf-8").split()
        except (OSError, ValueError, RemoteObjError):
            return None
        return Remembered(*words) if len(words) == 2 else None

    def note(self, found: Remembered) -> None:
        """Remember it for the next time. Where nothing can be written, nothing is remembered."""
        if found == self.recall():
            return
        try:
            folder = _folder()
            folder.mkdir(mode=0o700, exist_ok=True)
            new = folder / f".{secrets.token_hex(4)}"
            try:
                new.write_text(f"{found.address} {found.cluster}\n", "utf-8")
                os.replace(new, folder / self._name)
            except BaseException:
                with contextlib.suppress(OSError):
                    new.unlink()
                raise
        except (OSError, RemoteObjError) as error:
            log.debug("the address of a name server is not remembered: %s", error)


def _folder() -> Path:
    return runtime_dir() / "located"
