"""``Standby``: follows a farm's journal, and goes on as its master when that is gone.

::

    look for the master --> follow it --> lost --+--> the lead is given: be the master
           ^                                     |
           +----------- it is not given ---------+

Whether the master is gone, it does not decide itself: the name server gives the lead to the copy
that is in step, once the master's lease is over.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from masterslave.errors import JournalUnusable
from masterslave.farm.reach import Reach, choose_reach
from masterslave.journal.copying import Copy
from masterslave.naming import FarmRecord, check_label
from masterslave.service.leadership import FAILED, FarmLead
from masterslave.service.service import Service
from masterslave.settings import FarmSettings
from masterslave.slave.watch import FarmWatch
from masterslave.standby.follower import Follower, NoCopies, follow_uri
from remoteobj import Identity, InsecureRefused, NotAllowed, PeerRefused, WireError
from remoteobj.identity import AUTO, Auto
from remoteobj.identity.places import HOW_TO_PAIR

__all__ = ["Standby"]

log = logging.getLogger("masterslave")

_ASK_S = 0.25
_TRY_AGAIN_S = 1.0
_FORGOTTEN_S = 5.0  # a farm that nobody has told of for so long
_QUIET_S = 5.0  # for so long there may be no master before it is said why


class Standby:
    """A copy of a farm's journal, and the farm's next master.

    Args:
        label: Of the farm.
        journal: Path of the copy; it is made where there is none.
        local_slaves: How many to start when it takes over, and *output*, *settings*, *nameserver*,
            *identity*, *insecure*, *cluster*, *host*: as of ``Service``.
        report: Called with lines for people.

    Attributes:
        service: Once it has taken over.

    Raises:
        JournalInUse, JournalUnusable: The copy cannot be had; the message says what to do.
        BadLabel, BadName, CodeRefused, IdentityUnusable, BadInput: As of ``Farm``.

    Threads: ``run_until`` one.
    """

    def __init__(
        self,
        label: str,
        journal: str | os.PathLike[str],
        *,
        nameserver: str | bool | None = None,
        identity: Identity | Auto | None = AUTO,
        insecure: bool = False,
        cluster: str | None = None,
        host: str | None = None,
        local_slaves: int = 0,
        output: str = "none",
        settings: FarmSettings | None = None,
        report: Callable[[str], None] = log.info,
    ) -> None:
        self.label = check_label(label)
        self.service: Service | None = None
        self._reach: Reach = choose_reach(
            label, host=host, identity=identity, nameserver=nameserver, insecure=insecure,
            cluster=cluster,
        )  # fmt: skip
        self._make_service = partial(
            Service, label, local_slaves=local_slaves, nameserver=nameserver, identity=identity,
            insecure=insecure, cluster=cluster, host=host, output=output, settings=settings,
        )  # fmt: skip
        self._report = report
        self._said = ""
        self._found: dict[str, tuple[float, FarmRecord]] = {}
        self._others: dict[str, tuple[float, FarmRecord]] = {}  # scripts' own farms
        self._tried: dict[str, float] = {}
        self._failed: dict[str, str] = {}  # why those could not be followed, in words
        self._quiet_since: float | None = time.monotonic()  # None: it is said already
        self._not_given = ""
        self._lead: FarmLead | None = None
        self._wanted = ("", 0, "")  # what the lead was made of
        self._copy = Copy.open(Path(journal), label)

    def run_until(self, stop: threading.Event) -> None:
        """Follow, and be the master where that is gone, until this is set. Blocks until then.

        Raises:
            JournalUnusable: It cannot follow; the message says why, and what to do.
        """
        reach = self._reach
        watch = FarmWatch(
            [self.label], self._note, nameserver=reach.nameserver, identity=reach.identity,
            insecure=reach.insecure, cluster=reach.cluster, report=log.debug,
        )  # fmt: skip
        watch.start()
        try:
            lead = self._wait_for_lead(stop)
        finally:
            self._copy.close()
            watch.close()
        if lead is not None:
            self._take_over(lead, stop)

    def _wait_for_lead(self, stop: threading.Event) -> FarmLead | None:
        self._say(f"looks for farm {self.label!r}")
        while not stop.is_set():
            master = self._choose()
            if master is not None:
                self._follow(master, stop)
            if not stop.is_set() and self._is_given():
                return self._lead
            self._say_what_lacks()
            stop.wait(_ASK_S)
        if self._lead is not None:
            self._lead.close()
        return None

    # Following.

    def _note(self, farm: FarmRecord, where: str) -> None:
        kept = self._found if farm.farm_id else self._others
        kept[farm.farm] = (time.monotonic(), farm)

    def _choose(self) -> FarmRecord | None:
        """Return the master to be followed: the latest of the farm, if it is to be tried now."""
        now = time.monotonic()
        for kept in (self._found, self._others):
            for farm, (at, _) in list(kept.items()):
                if now - at > _FORGOTTEN_S:
                    del kept[farm]
        ours = self._copy.farm_id
        found = [
            (farm.epoch, at, farm)
            for at, farm in list(self._found.values())
            if ours in ("", farm.farm_id) and now - self._tried.get(farm.farm, 0.0) > _TRY_AGAIN_S
        ]
        return max(found, key=lambda one: one[:2])[2] if found else None

    def _follow(self, master: FarmRecord, stop: threading.Event) -> None:
        where = f"farm {self.label!r} at {master.uri.location} ({master.host})"

        def look() -> None:
            self._quiet_since = time.monotonic()
            if self._copy.is_in_step:
                self._say(f"in step: takes {where} over when its master is gone")
            elif self._copy.why_not:
                self._say(f"follows {where}, and may not take it over: {self._copy.why_not}")
            else:
                self._say(f"follows {where}")
            if self._copy.notice:
                self._report(self._copy.notice)
                self._copy.notice = ""

        failed = ""
        try:
            follower = Follower(
                self._copy, follow_uri(master.uri), identity=self._reach.identity, on_change=look,
                stopped=stop,
            )  # fmt: skip
            follower.run()
        except NoCopies:
            failed = self._is_a_scripts_own
        except JournalUnusable as error:
            self._say(str(error))
            self._quiet_since = time.monotonic()  # it is said already
        except FAILED as error:
            log.debug("%s: %s", where, error)
            failed = f"is seen, and cannot be followed now: {_in_words(error)}"
            if self._copy.is_in_step:
                self._say(f"{where} does not answer: asks the name server who leads")
        self._failed = {farm: why for farm, why in self._failed.items() if farm in self._found}
        self._failed[master.farm] = failed
        self._copy.is_in_step = False
        self._tried[master.farm] = time.monotonic()

    def _say_what_lacks(self) -> None:
        """Say once, after a while, why there is nothing to follow."""
        if self._quiet_since is None or time.monotonic() - self._quiet_since < _QUIET_S:
            return
        self._quiet_since = None
        kept = [farm for _, farm in [*self._others.values(), *self._found.values()]]
        if kept:
            self._say("; ".join(self._why_not(farm) for farm in kept))
        elif self._not_given:
            self._say(
                f"no master of farm {self.label!r} is seen, and this copy is not given the lead: "
                f"{self._not_given}"
            )
        else:
            self._say(
                f"no farm {self.label!r} is seen, in this user's directory or at a name server "
                "that this machine may ask. It goes on looking; 'masterslave master' runs one, "
                "'nameserver doctor' says why it would not be seen"
            )

    def _why_not(self, farm: FarmRecord) -> str:
        where = f"farm {self.label!r} of {farm.script} on {farm.host} (process {farm.pid})"
        if not farm.farm_id:
            return f"{where} {self._is_a_scripts_own}"
        if self._copy.farm_id not in ("", farm.farm_id):
            return f"{where} is another one than that of {self._copy.path}: give a path of its own"
        return f"{where} {self._failed.get(farm.farm) or 'is seen, and cannot be followed now'}"

    @property
    def _is_a_scripts_own(self) -> str:
        return (
            "is a script's own: only 'masterslave master' has standbys; end the script, start "
            f"'masterslave master {self.label} --journal FILE', and have the script use "
            f"Farm.attach({self.label!r})"
        )

    def _say(self, line: str) -> None:
        if line != self._said:
            self._said = line
            self._report(line)

    # Taking over.

    def _is_given(self) -> bool:
        """Ask for the lead once; the name server knows whether this copy may have it."""
        copy = self._copy
        if not copy.farm_id or not copy.copy_id:
            return False
        wanted = (copy.copy_id, copy.epoch, copy.arbiter)
        if self._lead is None or self._wanted != wanted:
            if self._lead is not None:
                self._lead.close()
            self._wanted = wanted
            self._lead = FarmLead(
                copy.farm_id, copy.copy_id, copy.epoch, self._reach,
                remembered=copy.arbiter, as_successor=True,
            )  # fmt: skip
        try:
            self._lead.take()
        except FAILED as error:
            log.debug("the lead of farm %r is not given: %s", self.label, error)
            self._not_given = str(error)
            return False
        return True

    def _take_over(self, lead: FarmLead, stop: threading.Event) -> None:
        try:
            self.service = self._make_service(self._copy.path, lead=lead, ended=stop)
        except BaseException:
            lead.close()
            raise
        try:
            serves = self.service.open()
        except BaseException:
            self.service.close()
            raise
        if serves:
            self._say(f"took farm {self.label!r} over, with epoch {lead.epoch}")
        self.service.run_until(stop)


def _in_words(error: Exception) -> str:
    """Return why a master that is there cannot be followed, and what to do."""
    match error:
        case InsecureRefused():
            return f"it is on another machine: {HOW_TO_PAIR}"
        case PeerRefused() | NotAllowed():
            return f"it does not let this machine in, or is not what it says: {error}"
        case WireError():
            return "it does not speak as this release does: install the same one on both"
        case OSError():  # ConnectionLost, DeadlinePassed
            return f"it does not answer: {error}"
    return str(error)
