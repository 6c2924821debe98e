"""What a farm stands on where it has no slaves but its own threads."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any, NoReturn

from masterslave.errors import FarmError
from masterslave.farm.explain import explain
from masterslave.farm.here.slave import HereSlave
from masterslave.master.shell import Master
from masterslave.protocol.joining import Welcome
from masterslave.scheduler import wait_of

__all__ = ["HERE_VARIABLE", "Here", "threads_here"]

log = logging.getLogger("masterslave")

HERE_VARIABLE = "REMOTEOBJ_FARM_HERE"
"""Makes the farms of a script ``here`` that do not say themselves; its value as ``Farm(here=)``."""

_MOST = 1024


def threads_here(here: bool | int | None) -> int:
    """Return in how many threads of this process tasks run; 0: not here.

    Args:
        here: What the farm says; None: what the environment says, if it says.

    Raises:
        TypeError, ValueError: That is no number of threads.
    """
    if here is None:
        return _threads_by_environment()
    if not isinstance(here, int):
        raise TypeError(f"here is True, False or a number of threads, not {here!r}")
    if not 0 <= here <= _MOST:
        raise ValueError(f"here is a number of threads from 1 to {_MOST}, not {here}")
    return int(here)


def _threads_by_environment() -> int:
    said = os.environ.get(HERE_VARIABLE, "").strip()
    if not said:
        return 0
    if not said.isdecimal() or int(said) > _MOST:
        raise ValueError(
            f"{HERE_VARIABLE} is a number of threads from 1 to {_MOST}, or 0 for slaves as ever, "
            f"not {said!r}"
        )
    return int(said)


class Here:
    """Threads, and nothing else: no socket, no process, no name.

    Args:
        welcome: What a slave is told of the farm.
        threads: How many.
        classes: Of the handlers in the welcome.
    """

    servers: tuple[str, ...] = ()

    def __init__(
        self, master: Master, welcome: Welcome, threads: int, classes: Mapping[str, type[Any]]
    ) -> None:
        self._master = master
        self._label = welcome.label
        self._slave = HereSlave(master, welcome, threads, classes)
        self.cancel = self._slave.cancel
        if welcome.max_tasks_per_child:
            log.warning(
                "farm %r runs in threads of its script (here): max_tasks_per_child is for "
                "processes, and changes nothing", self._label,
            )  # fmt: skip

    def open(self) -> None:
        """Begin."""
        self._slave.start()

    @property
    def uri(self) -> NoReturn:
        """There is none."""
        raise FarmError(
            f"farm {self._label!r} runs in threads of its script (here), so nobody can call it: it "
            "has no address"
        )

    def add_local_slaves(self, count: int) -> None:
        """Other than in threads, nothing runs."""
        log.info(
            "farm %r runs in threads of its script (here): no local slave is started", self._label
        )

    def why_waiting(self) -> str:
        """Return in words what the waiting tasks wait for; empty when none waits."""
        return self._master.view(
            lambda decisions: explain(
                wait_of(decisions.scheduler.state),
                label=self._label,
                waiting=decisions.scheduler.state.waiting,
                slots=decisions.table.slots,
                refused=(),
            )
        )

    def shut(self) -> None:
        """Nobody else is served; what runs here cannot be kept."""

    def close_first(self) -> None:
        """Before the master ends, nothing."""

    def close_last(self) -> None:
        """The master has ended."""
        self._slave.close()
