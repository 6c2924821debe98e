"""What a slave offers beside running functions: named tasks, which its handlers do."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field

import msgspec

from masterslave.errors import HandlersUnusable
from masterslave.slave.child.frames import Offered
from masterslave.slave.wires import CHILD_PROGRAM
from remoteobj.unreadable import UNREADABLE

__all__ = ["NamedTasks", "look_at"]


@dataclass(frozen=True, slots=True)
class NamedTasks:
    """Named tasks.

    Attributes:
        by_name: Of each the class that does it, ``module:Class``.
        folder: Where the modules are found, before all others.
        are_all: Whether nothing else is taken: no code of a script, and nothing that is pickled.
    """

    by_name: dict[str, str] = field(default_factory=dict)
    folder: str = ""
    are_all: bool = False


def look_at(specs: tuple[str, ...], *, are_all: bool = False) -> NamedTasks:
    """Return what classes ``module:Class`` offer; they are imported in a process of its own.

    Modules are found from the current folder, as ``python -m`` does.

    Args:
        are_all: As of ``NamedTasks``.

    Raises:
        HandlersUnusable: One of them offers nothing; the text says why.
    Blocks: for as long as the modules take to be imported.
    """
    if not specs:
        return NamedTasks()
    done = subprocess.run(
        [sys.executable, "-P", CHILD_PROGRAM, "look", *specs],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
    )
    try:
        offered = msgspec.msgpack.decode(done.stdout, type=Offered)
    except UNREADABLE:
        raise HandlersUnusable(
            f"{' '.join(specs)}: the process that imported them ended with exit code "
            f"{done.returncode}"
        ) from None
    if offered.wrong:
        raise HandlersUnusable(offered.wrong)
    return NamedTasks(offered.tasks, os.getcwd(), are_all)
