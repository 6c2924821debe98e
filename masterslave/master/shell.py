"""The master: where the scheduler's decisions become acts. One lock, and no thread that waits.

::

    Farm --submit, cancel------> inbox --+
                                         v          parcels --> the polls of the slaves
    Door --join, next, deliver--> handle(event) --orders--> answers --> futures and streams
       (conversation)             the lock                  (both without the lock)

What happens under the lock, and after it, is a *turn* (``turns``): what was submitted (``inbox``)
and what slaves have said (``conversation``, ``arrivals``) goes to the scheduler, whose orders go
into mailboxes and into a list of answers (``decisions``). The ``clock`` takes a turn when something
is due. Callbacks of futures, and log records, are carried by the ``carrier``.

``look`` takes a turn only while there are free slots; in a burst it leaves the task in the inbox
for the turn of somebody else, or of the clock, so that a thousand tasks cost one turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from masterslave.errands import ErrandKind
from masterslave.lent import Lender
from masterslave.master.again import ENDED_WITH_IT
from masterslave.master.book import latest_first
from masterslave.master.carrier import Carrier
from masterslave.master.clock import Clock
from masterslave.master.conversation import Conversation, LookAt
from masterslave.master.decisions import Decisions
from masterslave.master.duties import Duty
from masterslave.master.errands import Answered, missing
from masterslave.master.inbox import Inbox
from masterslave.master.inherited import Inherited
from masterslave.master.output import Output, TaskOutput
from masterslave.master.sharing import Blobs
from masterslave.master.spreading import Spreading
from masterslave.master.submission import Cancelled, Single, Span, Submission
from masterslave.master.turns import Turn
from masterslave.scheduler import Phase, Scheduler, SlaveReleased
from masterslave.settings import FarmSettings

if TYPE_CHECKING:  # it needs SQLite
    from masterslave.journal.fold import Out
    from masterslave.journal.trace import Trace
    from masterslave.master.recording import Recording

__all__ = ["Master"]

_View = TypeVar("_View")


class Master:
    """Keeps the tasks, and decides through the scheduler: what the script wants of a farm.

    Args:
        recording: Writes down what becomes of tasks.
        trace: Writes down what the scheduler hears.
        origin: Names the farm in handles of what it shares.

    Attributes:
        conversation: What the slaves say, for the door.
        blobs: What the script has shared.
        spreading: Which slave fetches that from which.
        wait_until_answered: Waits until no task is without its answer.
        is_handing_over: Tells whether the caller is called with an answer.

    Threads: any; every method is short, and none waits for a slave.
    """

    def __init__(
        self,
        settings: FarmSettings,
        carrier: Carrier,
        *,
        recording: Recording | None = None,
        trace: Trace | None = None,
        data_only: bool = False,
        origin: str = "a farm",
        look_at: LookAt = lambda outcomes, name, host: (outcomes, ()),
        show_output: Callable[[Sequence[TaskOutput]], None] | None = None,
    ) -> None:
        self.origin = origin
        scheduler = Scheduler(silence_s=settings.silence_s, feeding=settings.feeding)
        self._lender = Lender()
        self._decisions = Decisions(
            scheduler, carrier, self._lender, recording, trace=trace, data_only=data_only
        )
        self._table = self._decisions.table
        self._inbox = Inbox(self._decisions)
        kicks: SimpleQueue[bool] = SimpleQueue()
        self._kick = partial(kicks.put, True)
        self.blobs = Blobs(self._kick)
        self._turn = Turn(self._decisions, self._inbox, self.blobs.dropped, self._lender)
        self.spreading = Spreading(self._turn.lock, self._table)
        self._clock = Clock(self._turn, self._decisions, kicks, heartbeat_s=settings.heartbeat_s)
        self.conversation = Conversation(
            self._turn,
            self._decisions,
            self._inbox,
            self.blobs,
            Output(carrier, show_output),
            heartbeat_s=settings.heartbeat_s,
            data_only=data_only,
            look_at=look_at,
        )
        self.wait_until_answered = self._turn.wait_until_answered
        self.is_handing_over = self._turn.is_handing_over

    def inherit(
        self, out: Mapping[int, Out], wait_s: float, *, ended: Iterable[bytes] = ()
    ) -> None:
        """Have tasks wait for what slaves may bring of earlier runs.

        Args:
            out: What is out with slaves: see ``Inherited``.
            wait_s: How long slaves that have something of it may take to come.
            ended: Keys of what no slave brings: those that had it have ended with their script.
        """
        decisions = self._decisions
        assert decisions.recording is not None
        decisions.recording.again.expect(ended, ENDED_WITH_IT)
        decisions.inherited = Inherited(
            out, decisions.answers, decisions.recording, until=time.monotonic() + wait_s
        )

    def wait_for_inherited(self, wait_s: float) -> None:
        """Slaves that have something may come now, and have so long for it."""
        with self._turn as decisions:
            if decisions.inherited is not None and decisions.inherited.due is not None:
                decisions.inherited.due = time.monotonic() + wait_s
        self._kick()

    @property
    def again(self) -> Mapping[str, int]:
        """How many tasks this run has handed out again that an earlier one had out, by why."""
        recording = self._decisions.recording
        return {} if recording is None else recording.again.counts

    @property
    def inherited(self) -> Inherited | None:
        """What slaves may bring of earlier runs; for who looks."""
        inherited = self._decisions.inherited
        return inherited if isinstance(inherited, Inherited) else None

    def may_come(self, key: bytes) -> bool:
        """Tell whether slaves may bring this of earlier runs; takes no lock, and is a hint."""
        inherited = self._decisions.inherited
        return inherited is not None and inherited.may_have(key)

    def start(self) -> None:
        """Start the clock."""
        self._clock.start()

    def close(self) -> None:
        """Tell the slaves that the farm has ended, and stop. Blocks until the clock has stopped."""
        self.conversation.end()
        self._clock.close()
        self._lender.close()

    # Tasks.

    def put(self, submission: Submission) -> None:
        """Take in a task, or a span; ``look`` has to follow. Takes no lock.

        Raises:
            FarmBroken: The initializer has failed at a slave.
        """
        if self._decisions.broken is not None:
            raise self._decisions.broken.again()
        self._inbox.waiting.append(submission)

    def look(self, submission: Submission) -> None:
        """Hand out what was put in, at once where slots are free, else soon."""
        if self._decisions.book.open < self._table.slots or submission.is_span:
            with self._turn:
                pass
        elif not self._inbox.is_announced:
            self._inbox.is_announced = True
            self._kick()

    def take_in(self, submissions: Sequence[Submission]) -> None:
        """Take in tasks and spans, all in one step: they have their numbers when this returns, and
        are in the journal's hands.
        """
        with self._turn:
            self._inbox.submit(submissions)

    def has_taken(self, submissions: Sequence[Submission]) -> bool:
        """Tell whether these were put in: who was interrupted meanwhile cannot know."""
        with self._turn:
            return all(one.number >= 0 for one in submissions)

    def is_out(self, single: Single) -> bool:
        """Tell whether a task is with a slave."""
        with self._turn as decisions:
            return decisions.scheduler.state.phase_of(single.number) is Phase.OUT

    def cancel(self, singles: Sequence[Single]) -> None:
        """Drop single tasks that have no answer yet, all in one step: what runs is stopped."""
        with self._turn as decisions:
            decisions.cancel([single.number for single in singles])

    def drop(self, tasks: Sequence[int]) -> None:
        """Drop those of these tasks that are open, by their numbers."""
        with self._turn as decisions:
            decisions.cancel(tasks)

    def cancel_spans(self, spans: Sequence[Span]) -> None:
        """Drop the items of spans that have no answer yet."""
        with self._turn as decisions:
            for span in spans:
                if span.number >= 0:  # else it was not submitted: its stream was interrupted
                    decisions.cancel(range(span.number, span.number + span.count))

    def cancel_waiting(self) -> None:
        """Drop the tasks that are not handed out."""
        with self._turn as decisions:
            # What follows others comes before them: so it is cancelled, and does not fail.
            for tasks in latest_first(decisions.scheduler.state.unstarted()):
                decisions.cancel(tasks)

    def cancel_all(self) -> int:
        """Drop everything that has no answer yet; returns how many tasks that were."""
        with self._turn as decisions:
            dropped = decisions.book.open
            for tasks in decisions.book.latest_first():
                decisions.cancel(tasks)
        return dropped

    def abandon(self) -> int:
        """Cancel everything that has no answer yet, for the script alone: no slave is told, and no
        journal. Nobody may be served any more. Returns how many tasks that were.
        """
        self.conversation.fall_silent()  # what is handed out from now on is known to nobody
        with self._turn as decisions:
            dropped = decisions.book.open
            for tasks in decisions.book.latest_first():
                decisions.answers.drop(tasks, Cancelled(), is_recorded=False)
        return dropped

    def view(self, look: Callable[[Decisions], _View]) -> _View:
        """Return what *look* sees, under the lock."""
        with self._turn as decisions:
            return look(decisions)

    # Slaves.

    def add_duty(self, duty: Duty) -> None:
        """Give each slave a task, and each that joins."""
        with self._turn as decisions:
            if decisions.broken is not None:
                raise decisions.broken.again()
            self._inbox.submit(decisions.duties.add(duty, list(self._table.seats.values())))

    def drop_duty(self, duty: Duty) -> None:
        """Give it to nobody who joins from now on."""
        with self._turn as decisions:
            decisions.duties.drop(duty)

    def errand(self, slave: str, kind: ErrandKind) -> Answered:
        """Ask a slave, by its name at the scheduler, for something beside tasks.

        Raises:
            SlaveGone: It is not here.
        """
        with self._turn as decisions:
            seat = None if decisions.has_ended else self._table.seats.get(slave)
            if seat is None:
                raise missing(slave, self._table.former)
            decisions.due.append(seat)
            return decisions.errands.make(seat, kind)

    def release(self, slave: str) -> None:
        """End the quarantine of a slave, by its name at the scheduler, if it is in one.

        Raises:
            SlaveGone: It is not here.
        """
        with self._turn as decisions:
            if slave not in self._table.seats:
                raise missing(slave, self._table.former)
            decisions.handle(SlaveReleased(slave))
