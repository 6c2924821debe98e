"""``Service``: a farm that runs by itself, and keeps in its journal what scripts leave with it."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import asdict
from functools import partial
from typing import Any

from masterslave.farm.journaled import Kept
from masterslave.farm.lacking import Lacking
from masterslave.farm.modules import search_path
from masterslave.farm.output import Show, log_levels, shower
from masterslave.farm.outside import Outside
from masterslave.farm.reach import Reach, choose_reach
from masterslave.farm.records import statistics_of
from masterslave.farm.steering import Steering
from masterslave.farm.tracing import trace_of
from masterslave.journal.journal import Journal
from masterslave.master.carrier import Carrier
from masterslave.master.shell import Master
from masterslave.naming import check_label
from masterslave.protocol.attaching import RECEPTION_ID, Admission
from masterslave.protocol.following import FOLLOW_ID
from masterslave.protocol.joining import Welcome
from masterslave.service.book import TicketBook
from masterslave.service.desk import Desk
from masterslave.service.following import FollowDoor
from masterslave.service.functions import Functions
from masterslave.service.leadership import FarmLead
from masterslave.service.lobby import Lobby
from masterslave.service.objects import SharedObjects
from masterslave.service.reception import Reception
from masterslave.service.recording import TicketRecording
from masterslave.service.taking_up import take_up
from masterslave.settings import FarmSettings
from remoteobj import URI, Identity
from remoteobj.identity import AUTO, Auto

__all__ = ["Service"]

log = logging.getLogger("masterslave")

_SIGNAL_S = 0.5


class Service:
    """The master of a farm, with a journal, for scripts that attach to it.

    What they submit is in the file before they are told so; and is run, whatever happens to them or
    to this process: another one that is started with the same file goes on where this one was.

    Args:
        label: Of the farm.
        journal: Path of the file; it is made where there is none.
        lead: Of the farm, of a standby that has it; None: it is taken as soon as it is needed.
        local_slaves: How many to start on this machine; they end with this.
        nameserver: Where to register, as of ``Farm``, and so are *identity*, *insecure*, *cluster*
            and *host*.
        output: What becomes of what tasks print: "log" or "none", as of ``Farm``.
        settings: Times and limits.
        ended: Once it is set, this is not to act any more: the lead is asked for no longer, and
            ``open`` does nothing. It has to be closed all the same.

    Attributes:
        label: Of the farm.
        farm_id: The same in each run.
        master: Hands the tasks out.
        journal: The file, opened.
        lost: Why it acts no more, in words: another master may; empty while it acts.

    Raises:
        NotLeader: Another master acts for the farm; the message says what to do.
        JournalInUse, JournalUnusable: The journal cannot be had; the message says what to do.
        BadLabel, BadName, CodeRefused, IdentityUnusable, BadInput: As of ``Farm``.

    Threads: any.
    """

    def __init__(
        self,
        label: str,
        journal: str | os.PathLike[str],
        *,
        lead: FarmLead | None = None,
        local_slaves: int = 0,
        nameserver: str | bool | None = None,
        identity: Identity | Auto | None = AUTO,
        insecure: bool = False,
        cluster: str | None = None,
        host: str | None = None,
        output: str = "none",
        settings: FarmSettings | None = None,
        ended: threading.Event | None = None,
    ) -> None:
        self.label = check_label(label)
        settings = settings or FarmSettings()
        show_output = shower(output)
        reach = choose_reach(
            label, host=host, identity=identity, nameserver=nameserver, insecure=insecure,
            cluster=cluster,
        )  # fmt: skip
        self.lost = ""
        self._settings = settings
        self._ended = ended or threading.Event()
        self._lock = threading.Lock()
        self._is_closed = False
        self._kept = Kept(journal, label, epoch=lead.epoch if lead else 0, compacts=lead is None)
        self.journal: Journal = self._kept.journal
        self.farm_id = self._kept.farm_id
        self._lead = lead or FarmLead.of(self.journal, reach)
        self._may_be_followed = bool(reach.nameserver)
        try:
            epoch = self._lead.begin(self.journal, self._ended)
            self._build(epoch, local_slaves, reach, show_output)
        except BaseException:
            self._lead.close()
            self._kept.close()
            raise

    def _build(self, epoch: int, local_slaves: int, reach: Reach, show_output: Show | None) -> None:
        label, kept, settings = self.label, self._kept, self._settings
        book = TicketBook(kept.journal)
        functions = Functions(book, kept.journal.folded.left)
        self._carrier = Carrier()
        origin = f"farm {label!r} ({kept.farm_id[:8]})"
        self._trace = trace_of(label, settings, kept)
        self.master = Master(
            settings,
            self._carrier,
            trace=self._trace,
            recording=TicketRecording(kept.journal, book, functions.place),
            origin=origin,
            look_at=Lacking().sort_out,
            show_output=show_output,
        )
        self._steering = Steering(label, self.master, is_here=False)
        admission = Admission(
            label=label,
            farm_id=kept.farm_id,
            epoch=epoch,
            heartbeat_s=settings.heartbeat_s,
            max_attempts=settings.max_attempts,
            origin=origin,
        )
        self._reception = Reception(
            admission, partial(self._make_desk, book, functions), self.why_waiting
        )
        welcome = Welcome(
            heartbeat_s=settings.heartbeat_s,
            label=label,
            search_path=search_path(),
            output=show_output is not None,
            log_levels={} if show_output is None else log_levels(),
            farm_id=kept.farm_id,
            keep_s=settings.keep_s,
            epoch=epoch,
        )
        self._outside = Outside(
            self.master,
            settings,
            welcome,
            local_slaves=local_slaves,
            status=self._status,
            steer=self._steering.begin,
            reach=reach,
            script="masterslave master",
            own_slaves="'masterslave master' --local-slaves 2",
            on_superseded=self._lead.heard_of,
            beside={
                RECEPTION_ID: self._reception,
                FOLLOW_ID: FollowDoor(kept.journal.following),
            },
        )
        self._lead.when_taken(self._outside.lead_with)

    def _make_desk(self, book: TicketBook, functions: Functions, lobby: Lobby) -> Desk:
        self._desk = Desk(self.label, book, functions, on_told=lobby.tell, on_part=lobby.tell_part)
        self._desk.master = self.master
        self._desk.objects = SharedObjects(book, self.master.blobs, self.journal.folded.left)
        return self._desk

    def open(self) -> bool:
        """Take up what earlier runs have left, and serve slaves and scripts.

        Returns:
            Whether it serves: not where it has to end, or where the lead is lost already.

        Blocks: on the disk, as long as it takes to read what is open.
        """
        self._lead.when_lost(self._stop_acting)  # first of all: from now on it may be at any moment
        if self._is_over:
            return False
        if self._may_be_followed:
            self.journal.let_follow(self._lead)
        self._carrier.start()
        self._kept.inherit(self.master, wait_s=float("inf"))
        self._desk.objects.restore()
        taken = take_up(self._desk)
        if taken:
            log.warning("farm %r: %d tasks of earlier runs are taken up", self.label, taken)
        self.master.start()
        self._reception.lobby.start()
        self._outside.open()
        self.master.wait_for_inherited(self._settings.patience_s)  # they could not come before
        self.journal.forget_folded()
        return not self._is_over

    @property
    def _is_over(self) -> bool:
        return bool(self.lost) or self._ended.is_set()

    @property
    def uri(self) -> URI:
        """Where the master's door is: for other machines, if they are served."""
        return self._outside.uri

    @property
    def local_uri(self) -> URI:
        """Where it is for this user's processes on this machine."""
        return self._outside.local_uri

    def add_local_slaves(self, count: int) -> None:
        """Start slaves of one slot each on this machine; they end with this."""
        self._outside.add_local_slaves(count)

    def jobs(self) -> list[dict[str, Any]]:
        """Return each ticket as plain data."""
        return self._reception.jobs()

    def why_waiting(self) -> str:
        """Return in words what the waiting tasks wait for; empty when none waits."""
        return self._kept.trouble or self._outside.why_waiting()

    def run_until(self, stop: threading.Event) -> None:
        """Serve until this is set, or another master may act, then close. Blocks until then."""
        try:
            while not self.lost and not stop.wait(_SIGNAL_S):  # a signal just before: no interrupt
                pass
        finally:
            self.close()

    def close(self) -> None:
        """End: slaves keep what they have for the next run, and what is open stays in the journal.

        Calling it again does nothing.
        Blocks: a few seconds, on the disk and on local slaves.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self._desk.is_closing = True
        self.master.conversation.fall_silent()  # slaves are left, and are not lost
        self._outside.shut()  # nobody is told that the farm has ended
        self._reception.lobby.close()
        self.master.abandon()
        self.master.close()
        self._carrier.close()
        self.journal.following.shut()  # nobody is told any more, so nothing waits for a copy
        self._lead.close(resigns=not self.lost)
        self._kept.close()
        if self._trace is not None:
            self._trace.close()
        self._outside.close_last()

    def _stop_acting(self, why: str) -> None:
        """Another master may act from now on: acknowledge nothing, and hand nothing out."""
        self.journal.freeze()
        self.master.conversation.fall_silent()
        self._desk.is_closing = True
        self.lost = why
        log.error("farm %r has stopped here: %s", self.label, why)
        self._outside.shut_doors()

    def _status(self) -> dict[str, Any]:
        spreading = self.master.spreading
        jobs = self.jobs()
        failed = sum(job["failed"] for job in jobs)
        counts = self.master.view(lambda d: statistics_of(d.scheduler.state, failed, spreading))
        return {
            "statistics": asdict(counts),
            "waits": self.why_waiting(),
            "journal": str(self.journal.path),
            "standby": self.journal.following.standby,
            "jobs": jobs,
            "slaves": [asdict(slave) for slave in self._steering.slaves()],
            "former_slaves": [asdict(slave) for slave in self._steering.former_slaves()],
        }
