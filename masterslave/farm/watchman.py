"""Watches over a farm: starts local slaves where none comes, and says why nothing runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection

from masterslave.farm.explain import OWN_SLAVES, Refused, explain
from masterslave.farm.local import LocalSlaves
from masterslave.farm.unmet import with_what_is_missing
from masterslave.master.shell import Master
from masterslave.scheduler import Wait, wait_of
from masterslave.settings import FarmSettings

__all__ = ["Watchman"]

log = logging.getLogger("masterslave")

_LOOK_S = 0.25
_REMEMBER = 10


class Watchman:
    """One thread that looks at the farm a few times a second.

    Args:
        start_slaves: Start local slaves if none has joined within ``auto_slaves_after_s``.
        tasks: Named ones that these do; then a slave counts if it offers one of them.
        own_slaves: What to give for slaves of the farm's own, in words.
    """

    def __init__(
        self,
        label: str,
        master: Master,
        local: LocalSlaves,
        *,
        settings: FarmSettings,
        start_slaves: bool,
        tasks: Collection[str] = (),
        own_slaves: str = OWN_SLAVES,
    ) -> None:
        self._label = label
        self._own_slaves = own_slaves
        self._master = master
        self._local = local
        self._settings = settings
        self._start_slaves = start_slaves
        self._tasks = frozenset(tasks)
        self._lock = threading.Lock()
        self._refused: list[Refused] = []
        self._missing_since: dict[str, float] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="farm watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End. Blocks until the thread is gone."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def note_refused(self, who: str, reason: str) -> None:
        """A slave came and was not let in; said once, and kept for the explanation."""
        refused = Refused(who, reason)
        with self._lock:
            news = refused not in self._refused
            self._refused = [*(r for r in self._refused if r != refused), refused][-_REMEMBER:]
        if news:
            log.warning("farm %r refused slave %s: %s", self._label, who, reason)

    def why_waiting(self) -> str:
        """Return in words what the waiting tasks wait for; empty when none waits."""
        with self._lock:
            refused = tuple(self._refused)
        return self._master.view(
            lambda decisions: with_what_is_missing(
                explain(
                    wait_of(decisions.scheduler.state),
                    label=self._label,
                    waiting=decisions.scheduler.state.waiting,
                    inherited=decisions.inherited.waiting if decisions.inherited else 0,
                    slots=decisions.table.slots,
                    refused=refused,
                    why_not=tuple(
                        Refused(seat.introduction.name, seat.says)
                        for seat in decisions.table.seats.values()
                        if seat.says
                    ),
                    own_slaves=self._own_slaves,
                ),
                decisions,
                self._label,
            )
        )

    def _watch(self) -> None:
        if self._start_slaves and not self._slave_joins_in_time():
            count = self._local.add_for_all_cpus()
            log.warning(
                "farm %r: no slave%s joined within %g s, so %d local ones are started",
                self._label,
                " with handlers" if self._tasks else "",
                self._settings.auto_slaves_after_s,
                count,
            )
        said: Wait = Wait.NOTHING
        while not self._closed.wait(_LOOK_S):
            said = self._say_what_is_new(said)
            if said is Wait.NOTHING:
                self._say_what_is_missing()

    def _slave_joins_in_time(self) -> bool:
        until = time.monotonic() + self._settings.auto_slaves_after_s
        while not self._closed.is_set() and (left := until - time.monotonic()) > 0:
            if self._master.conversation.wait_for_slaves(min(0.1, left)):
                if self._does_tasks():
                    return True
                self._closed.wait(min(0.1, left))
        return self._closed.is_set()

    def _does_tasks(self) -> bool:
        """Tell whether a slave is here that offers one of the tasks; or any, if there are none."""
        return not self._tasks or self._master.view(
            lambda decisions: any(
                self._tasks.intersection(seat.introduction.tasks)
                for seat in decisions.table.seats.values()
            )
        )

    def _say_what_is_missing(self) -> None:
        """Log what some tasks wait for in vain while others are run, each condition once."""
        missing = self._master.view(lambda d: with_what_is_missing("", d, self._label))
        now = time.monotonic()
        since = self._missing_since.setdefault(missing, now)
        if missing and now - since >= self._settings.explain_after_s:
            self._missing_since[missing] = float("inf")
            log.warning("farm %r: %s", self._label, missing)
        for other in [one for one in self._missing_since if one != missing]:
            del self._missing_since[other]

    def _say_what_is_new(self, said: Wait) -> Wait:
        """Log why nothing has moved for a while, each condition once; returns what was said."""
        wait, changed_at = self._master.view(
            lambda decisions: (
                wait_of(decisions.scheduler.state),
                decisions.scheduler.state.changed_at,
            )
        )
        if wait is Wait.NOTHING or time.monotonic() - changed_at < self._settings.explain_after_s:
            return Wait.NOTHING
        if wait is not said:
            log.warning("farm %r: %s", self._label, self.why_waiting())
        return wait
