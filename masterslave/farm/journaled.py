"""A farm with a journal: what is opened with it, and what is said of it in the end."""

from __future__ import annotations

import logging
import os
import sys

from masterslave.errors import JournalUnusable
from masterslave.farm.handlers import OwnHandlers
from masterslave.farm.resuming import Resuming, Source
from masterslave.farm.travelling import LocalCode
from masterslave.journal.fold import Out
from masterslave.journal.journal import Journal
from masterslave.journal.scripts import Script, note_script
from masterslave.master.recording import Recording
from masterslave.master.shell import Master

__all__ = ["Journaled", "Kept"]

log = logging.getLogger("masterslave")


class Kept:
    """The journal of a farm, of whatever kind, and what is said of it in the end.

    Args:
        path: Of the file; it is made where there is none.
        epoch: See ``Journal.open``, and so is *compacts*.

    Attributes:
        journal: Open, until this is closed.
        farm_id: The same in each run.
        trouble: Why nothing is acknowledged, in words; empty while the journal can be written.

    Raises:
        JournalInUse, JournalUnusable: See ``Journal.open``.
    """

    def __init__(
        self, path: str | os.PathLike[str], label: str, *, epoch: int = 0, compacts: bool = True
    ) -> None:
        self.trouble = ""
        self._label = label
        self.journal = Journal.open(
            path, label, epoch=epoch, on_trouble=self._note_trouble, compacts=compacts
        )
        for notice in self.journal.notices:
            log.warning("farm %r: %s", label, notice)
        self.path = self.journal.path
        self.farm_id = self.journal.farm_id
        self._master: Master | None = None

    def inherit(self, master: Master, *, wait_s: float) -> None:
        """Have the master's tasks wait for what slaves may bring of earlier runs.

        Args:
            wait_s: How long slaves that have something may take to come.
        """
        self._master = master
        stays, ended = self._out()
        master.inherit(stays, wait_s, ended=ended)

    def _out(self) -> tuple[dict[int, Out], set[bytes]]:
        """Return what slaves may bring that did not end with their script, and the keys of what
        was only at those that did.
        """
        folded = self.journal.folded
        out = {number: one for number, one in folded.out.items() if one.run < folded.run}
        far = {index for index, slave in folded.slaves.items() if slave.host}
        stays = {number: left for number, one in out.items() if (left := one.at(far)) is not None}
        return stays, {one.key for one in out.values()} - {one.key for one in stays.values()}

    def _note_trouble(self, trouble: str | None) -> None:
        self.trouble = trouble or ""
        if trouble:
            log.error("farm %r: %s", self._label, trouble)
        else:
            log.warning("farm %r: the journal can be written again", self._label)

    def close(self) -> None:
        """Write what waits, and say what was taken from earlier runs. Blocks: on the disk."""
        self.journal.close()
        if self._master is None:
            return
        told = self._told(self._master)
        if told:
            log.warning("farm %r: %s", self._label, "; ".join(told))

    def _told(self, master: Master) -> list[str]:
        came = master.inherited.came if master.inherited else 0
        told = [f"{came} that were under way came from their slaves"] if came else []
        for why, count in sorted(master.again.items()):
            tasks = "1 task was" if count == 1 else f"{count} tasks were"
            their = "its" if count == 1 else "their"
            told.append(
                f"{tasks} handed out again that an earlier run had handed out: {their} slave {why}"
            )
        return told


class Journaled(Kept):
    """The journal of a script's farm.

    Attributes:
        recording: For the master.

    Raises:
        JournalUnusable: It is of a farm that has had a standby, beside what ``Kept`` says.
    """

    def __init__(self, path: str | os.PathLike[str], label: str) -> None:
        super().__init__(path, label)
        if self.journal.folded.epoch:
            self.journal.close()
            raise JournalUnusable(
                f"{self.path} is of a farm that has had a standby, and only one master may act for "
                f"it: run it with 'masterslave master {label} --journal {self.path}', and attach "
                "to that (Farm.attach); or give a path of its own"
            )
        file = str(getattr(sys.modules.get("__main__"), "__file__", None) or "")
        places = tuple(map(os.path.abspath, sys.path))
        self.journal.record(note_script(Script(self.journal.run, file, places)))
        self.recording = Recording(self.journal)
        self._resuming: Resuming | None = None

    def resume(
        self, master: Master, code: LocalCode, handlers: OwnHandlers, *, wait_s: float
    ) -> Resuming:
        """Return what finds what earlier runs have left; *wait_s* as of ``inherit``."""
        self.inherit(master, wait_s=wait_s)
        folded = self.journal.folded
        self._resuming = Resuming(
            [Source(folded.finished, folded.slaves, self.journal.read)],
            code,
            handlers.by_task,
            may_come=master.may_come,
            wait_for_room=self.journal.wait_for_room,
        )
        return self._resuming

    def _told(self, master: Master) -> list[str]:
        found = self._resuming.found if self._resuming is not None else 0
        told = [f"{found} results were in {self.path}"] if found else []
        return told + super()._told(master)
