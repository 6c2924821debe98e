"""A line that loses answers: whatever is lost, nothing waits for a heartbeat or comes twice."""

from __future__ import annotations

import sys
from typing import Any
from unittest.mock import MagicMock

import hypothesis.strategies as st
from hypothesis import example, given, settings

from masterslave import FarmFuture
from masterslave.farm.options import TaskTerms
from masterslave.master.carrier import Carrier
from masterslave.master.seats import Poll
from masterslave.master.shell import Master
from masterslave.master.submission import Function
from masterslave.packed import pack_value
from masterslave.protocol.encoding import decode
from masterslave.protocol.hand_outs import WireTask
from masterslave.protocol.joining import VERSION, Introduction
from masterslave.protocol.outcomes import GIVEN_BACK, VALUE, Outcome
from masterslave.protocol.verbs import Ask, Delivery, Instructions
from masterslave.settings import FarmSettings

NEVER = FarmSettings(heartbeat_s=1000.0, silence_s=5000.0)
FUNCTION = Function(b"f" * 16, b"pickled", "f", "f")
TERMS = TaskTerms(0)


class Slave:
    """A slave that does what the test says, in its thread."""

    def __init__(self, master: Master, slots: int) -> None:
        self._conversation, self._slots = master.conversation, slots
        introduction = Introduction(VERSION, "hand", "here", 1, slots, sys.version_info[:2], "")
        self.seat = self._conversation.join(introduction, "here")
        self._acknowledged = self._sequence = 0
        self._held: list[WireTask] = []
        self._seen: set[tuple[int, int]] = set()
        self._outcomes: list[Outcome] = []
        self._poll: Poll | None = None
        self._answers: list[Any] = []

    def poll(self, *, is_lost: bool) -> None:
        """Ask, if it does not, and take in the answer, if there is one."""
        if self._poll is None:
            ask = Ask(self.seat.token, self._slots, self._acknowledged)
            self._poll, self._answers = self._conversation.next_instructions(ask), []
            self._poll.when_set(self._answers.append)
        if self._answers:
            self._poll = None
            if not is_lost:
                self._take(self._answers[0])

    def deliver(self, *, is_lost: bool) -> None:
        """Deliver what is not acknowledged."""
        if self._outcomes:
            told = self._conversation.take_delivery(
                Delivery(
                    self.seat.token,
                    self._sequence,
                    tuple(self._outcomes),
                    self._slots,
                    self._acknowledged,
                )
            )
            if not is_lost:
                self._take(told)

    def run(self) -> None:
        """Run one task."""
        if self._held:
            self._tell(self._held.pop(0), VALUE)

    def _tell(self, task: WireTask, kind: int) -> None:
        self._sequence += 1
        self._outcomes.append(Outcome(task.task, task.attempt, 1, kind, pack_value(1), 0.01))

    def _take(self, data: bytes) -> None:
        told = decode(data, Instructions)
        done = told.delivered - (self._sequence - len(self._outcomes))
        del self._outcomes[: max(0, done)]
        if told.batch <= self._acknowledged:
            return
        assert told.batch == self._acknowledged + 1
        self._acknowledged = told.batch
        keys = {(task.task, task.attempt) for task in told.tasks}
        assert not keys & self._seen
        self._seen |= keys
        self._held += told.tasks
        stopped = {(stop.task, stop.attempt) for stop in told.stops}
        recalled = {(recall.task, recall.attempt) for recall in told.recalls}
        for task in [*self._held]:
            if (task.task, task.attempt) in stopped | recalled:
                self._held.remove(task)
                if (task.task, task.attempt) in recalled:
                    self._tell(task, GIVEN_BACK)


STEPS = st.sampled_from(["submit", "poll", "run", "deliver", "cancel"])


@settings(max_examples=300, deadline=None)
@example([("submit", True), ("poll", False), ("poll", False), ("run", True), ("deliver", True)], 1)
@given(st.lists(st.tuples(STEPS, st.booleans()), min_size=10, max_size=60), st.integers(1, 2))
def test_whatever_answers_are_lost_no_task_waits_for_a_heartbeat(
    steps: list[tuple[str, bool]], slots: int
) -> None:
    master = Master(NEVER, Carrier())
    slave = Slave(master, slots)
    futures: list[FarmFuture[Any]] = []
    for step, flag in steps:
        match step:
            case "submit":
                for _ in range(3 if flag else 1):
                    futures.append(FarmFuture(MagicMock(), FUNCTION, TERMS, b"x"))
                    master.put(futures[-1])
                    master.look(futures[-1])
            case "poll":
                slave.poll(is_lost=flag)
            case "run":
                slave.run()
            case "deliver":
                slave.deliver(is_lost=flag)
            case "cancel" if futures and not futures[-1].done():
                master.cancel(futures[-1:])
        polls = slave.seat.poll is not None
        assert not (polls and slave.seat.mailbox.has_more()), "it could be told"
    for _ in range(3 * len(futures) + 3):
        slave.poll(is_lost=False)
        slave.deliver(is_lost=False)
        slave.run()
    assert all(future.done() for future in futures)
