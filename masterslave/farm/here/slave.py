"""The slave whose slots are threads of the script: it calls the master straight, without a wire."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from masterslave.farm.here.slot import GOES_ON, Slot
from masterslave.master.decisions import Decisions
from masterslave.master.shell import Master
from masterslave.master.submission import Single
from masterslave.protocol.encoding import decode
from masterslave.protocol.joining import VERSION, Introduction, Welcome
from masterslave.protocol.outcomes import Outcome
from masterslave.protocol.verbs import Ask, Delivery, Instructions
from masterslave.slave.child.frames import Prepare
from masterslave.slave.work import FarmWork, Job

__all__ = ["HereSlave"]

log = logging.getLogger("masterslave")

_MAX_BYTES = 16 * 1024 * 1024
_GATHER_S = 0.02
"""While there is more to do, outcomes are delivered no more often than this, in seconds."""

_AGAIN_S = 0.1
_END_S = 0.25
_TEARDOWN_S = 2.0
_NOTHING = b""


class HereSlave:
    """Runs a farm's tasks in threads of this process.

    One more thread asks the master for work, and delivers what gathers; a slot that has nothing
    more to do delivers itself.

    Args:
        welcome: What a slave is told of the farm.
        threads: How many slots.
        classes: Of the handlers in the welcome.
    """

    def __init__(
        self, master: Master, welcome: Welcome, threads: int, classes: Mapping[str, type[Any]]
    ) -> None:
        self._master = master
        self._conversation = master.conversation
        self._label = welcome.label
        self._tasks = welcome.handlers.tasks
        prepared = Prepare(0, (), welcome.initializer, welcome.data_only, given=self._tasks)
        self._slots = [Slot(number + 1, self, prepared, classes) for number in range(threads)]
        self._changed = threading.Condition()
        self._work = FarmWork()
        self._started: dict[int, int] = {}
        """Attempts that slots have begun and the master has no outcome of, by task. Under the
        master's lock they are added, so that who cancels knows for sure."""
        self._is_delivering = self._is_over = self._has_said = False
        self._due: float | None = None
        """When what gathers is to be delivered; None: nothing does."""
        self._told: SimpleQueue[bytes] = SimpleQueue()
        self._token = ""
        self._asking = threading.Thread(target=self._ask, name="farm here", daemon=True)

    def start(self) -> None:
        """Join the farm, and begin."""
        who = Introduction(
            VERSION, "here", socket.gethostname(), os.getpid(), len(self._slots),
            sys.version_info[:2], tasks=tuple(self._tasks),
        )  # fmt: skip
        self._token = self._conversation.join(who, "this process").token
        for slot in self._slots:
            slot.start()
        self._asking.start()

    def close(self) -> None:
        """End, once the master has. Blocks a moment; a task that runs is not waited for."""
        self._leave()
        if self._asking.ident is not None:
            self._asking.join()
        end_s = time.monotonic() + _END_S
        for slot in self._slots:
            slot.wait(max(0.0, end_s - time.monotonic()))
        end_s += _TEARDOWN_S
        for slot in self._slots:
            if slot.tears_down and not slot.wait(max(0.0, end_s - time.monotonic())):
                log.warning(
                    "farm %r: a teardown() of its handlers takes longer than %g s, and is left "
                    "behind", self._label, _TEARDOWN_S,
                )  # fmt: skip
        left = sum(not slot.tears_down and not slot.wait(0) for slot in self._slots)
        if left:
            log.warning(
                "farm %r: %d task%s in a thread of this process, which cannot be stopped: what is "
                "left of it goes on, and its result is dropped",
                self._label, left, " runs" if left == 1 else "s run, each",
            )  # fmt: skip

    def cancel(self, singles: Sequence[Single]) -> None:
        """Drop tasks that wait; a thread that runs one cannot be stopped."""
        started = self._started
        self._master.view(
            lambda decisions: decisions.cancel(
                [single.number for single in singles if single.number not in started]
            )
        )

    # What slots call.

    def next_job(self) -> Job | None:
        """Wait for a job; None: the farm has ended."""
        while True:
            with self._changed:
                while not self._work.waiting and not self._is_over:
                    self._changed.wait()
                if self._is_over:
                    return None
                job = self._work.waiting.popleft()
                self._work.running += 1
            if self._master.view(partial(self._begin, job)):
                return job
            with self._changed:  # it was cancelled just before
                self._work.hear([], 1)

    def tell(self, outcome: Outcome) -> None:
        """A job goes on, and has this to say."""
        with self._changed:
            self._work.tell([outcome])

    def end(self, job: Job, outcome: Outcome) -> None:
        """A job has ended."""
        with self._changed:
            self._work.hear([outcome], 1)
            gathers = bool(self._work.waiting)
            if gathers and self._due is None:
                self._due = time.monotonic() + _GATHER_S
                self._told.put(_NOTHING)
        if not gathers:
            self.deliver()

    def deliver(self) -> None:
        """Bring the master what there is; what comes meanwhile is brought by who is at it."""
        while not self._is_over:
            with self._changed:
                if self._is_delivering:
                    return
                sequence, outcomes = self._work.to_deliver(_MAX_BYTES)
                if not outcomes:
                    return
                self._is_delivering, self._due = True, None
            told = None
            try:
                delivery = Delivery(
                    self._token, sequence, outcomes, len(self._slots), self._work.acknowledged
                )
                told = decode(self._conversation.take_delivery(delivery), Instructions)
            except BaseException:  # sys.exit() in somebody's callback; the master has it, or not
                log.exception("farm %r: a delivery failed, and is made again", self._label)
            finally:
                with self._changed:
                    self._is_delivering = False
                    if told is None:
                        self._due = time.monotonic() + _AGAIN_S
                        self._told.put(_NOTHING)
            if told is None:
                return
            self._master.view(partial(self._note_ended, outcomes))
            self._take(told)

    # Under the master's lock.

    def _begin(self, job: Job, decisions: Decisions) -> bool:
        """Note that a job is begun; False if it was cancelled before."""
        task = job.task
        if decisions.book.find(task.task) is None:
            return False
        self._started[task.task] = task.attempt
        return True

    def _note_ended(self, outcomes: Sequence[Outcome], _: Decisions) -> None:
        for outcome in outcomes:
            if outcome.kind not in GOES_ON and self._started.get(outcome.task) == outcome.attempt:
                del self._started[outcome.task]

    # The thread that asks.

    def _ask(self) -> None:
        while not self._is_over:
            try:
                ask = Ask(self._token, len(self._slots), self._work.acknowledged)
                self._conversation.next_instructions(ask).when_set(self._told.put)
            except BaseException:  # sys.exit() in somebody's callback
                log.exception("farm %r: an answer could not be handed over", self._label)
            while not (told := self._next_told()):
                if self._is_over:
                    return
                self.deliver()
            self._take(decode(told, Instructions))

    def _next_told(self) -> bytes:
        """Wait for what the master says, or until what gathers is due: then nothing."""
        while True:
            with self._changed:
                left_s = None if self._due is None else self._due - time.monotonic()
            if self._is_over or (left_s is not None and left_s <= 0):
                return _NOTHING
            try:
                if told := self._told.get(timeout=left_s):
                    return told
            except Empty:
                return _NOTHING

    def _take(self, told: Instructions) -> None:
        if told.ended or told.unknown:
            self._leave()
            return
        work = self._work
        with self._changed:
            work.acknowledge(told.delivered)
            if told.batch <= work.acknowledged:
                return
            work.take_in(told.batch, told.tasks, told.functions)
            self._say_of_limits(told)
            if told.stops:
                is_meant = work.stop(told.stops)
                for slot in self._slots:
                    slot.skip_rest(is_meant)
            if told.recalls:
                work.recall(told.recalls)
            self._changed.notify_all()
        if told.recalls:
            self.deliver()

    def _say_of_limits(self, told: Instructions) -> None:
        if told.limits and not self._has_said:
            self._has_said = True
            log.warning(
                "farm %r runs in threads of its script (here), which cannot be stopped: timeout_s "
                "is not kept", self._label,
            )  # fmt: skip

    def _leave(self) -> None:
        with self._changed:
            self._is_over = True
            self._work.waiting.clear()
            self._changed.notify_all()
        self._told.put(_NOTHING)
