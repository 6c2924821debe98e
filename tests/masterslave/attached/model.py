"""A farm that runs by itself, as a script sees it, without one: what is on its disk, and what is
not. It does the tasks that it is told to do: each is ``abs`` of a number.
"""

from __future__ import annotations

import pickle
from collections import Counter

from masterslave.packed import pack_value
from masterslave.protocol.attaching import (
    CANCELLED,
    Admission,
    Answers,
    Cancel,
    Collect,
    Greeting,
    Leave,
    Request,
    SentAnswer,
    Taken,
)
from masterslave.protocol.hand_outs import CALL
from masterslave.protocol.outcomes import VALUE

__all__ = ["ModelFarm"]


class ModelFarm:
    """Has one ticket.

    Attributes:
        ran: How often each serial was done.
        taken: Serials below are on the disk.
    """

    def __init__(self) -> None:
        self.taken = 0
        self.ran: Counter[int] = Counter()
        self.forgotten = False
        self._numbers: dict[int, int] = {}
        self._is_item: dict[int, bool] = {}
        self._answers: dict[int, SentAnswer] = {}
        self._queue: list[SentAnswer] | None = None
        self._wanted: set[int] | None = None
        self._since = 0

    # What is done without a script.

    @property
    def undone(self) -> list[int]:
        """Serials without an answer."""
        return [serial for serial in self._numbers if serial not in self._answers]

    def do(self, serial: int) -> None:
        """Do a task."""
        self.ran[serial] += 1
        value = abs(self._numbers[serial])
        is_item = self._is_item[serial]
        payload = pack_value([value] if is_item else value)
        skip = 0 if is_item else -1
        self._answer(SentAnswer(serial, 1, kind=VALUE, skip=skip, payload=payload))

    def restart(self) -> None:
        """It was killed and started again: it has what is on its disk."""
        self._queue = None

    def _answer(self, answer: SentAnswer) -> None:
        self._answers[answer.first] = answer
        if self._queue is not None:
            self._queue.append(answer)

    # The verbs.

    def attach(self, greeting: Greeting) -> Admission:
        """Let the script in."""
        open_now = {
            serial for first, count in greeting.open for serial in range(first, first + count)
        }
        self._queue = [
            answer
            for serial, answer in sorted(self._answers.items())
            if greeting.is_whole or serial in open_now
        ]
        self._since = 0
        return Admission(ticket="T", label="model", farm_id="F", taken=self.taken)

    def submit(self, request: Request) -> Taken:
        """Take tasks; those that are there are passed over."""
        if self._queue is None:
            raise ConnectionError
        for tasks in request.tasks:
            assert tasks.first <= self.taken, "a row of serials has a gap"
            for serial, packed in enumerate(tasks.arguments, tasks.first):
                if serial < self.taken:
                    continue
                if tasks.form == CALL:
                    (number,), _ = pickle.loads(packed)
                else:
                    (number,) = pickle.loads(packed)
                self._numbers[serial] = number
                self._is_item[serial] = tasks.form != CALL
                self.taken += 1
        return Taken(self.taken)

    def cancel(self, cancel: Cancel) -> Taken:
        """Do these no more."""
        if self._queue is None:
            raise ConnectionError
        for first, count in cancel.serials:
            for serial in range(first, first + count):
                assert serial < self.taken
                if serial not in self._answers:
                    self._answer(SentAnswer(serial, 1, CANCELLED))
        return Taken(self.taken)

    def collect(self, collect: Collect) -> Answers:
        """Tell what is not acknowledged."""
        if self._queue is None:
            raise ConnectionError
        got = collect.acknowledged - self._since
        assert 0 <= got <= len(self._queue)
        del self._queue[:got]
        self._since = collect.acknowledged
        return Answers(self._since, tuple(self._queue[:3]))

    def leave(self, leave: Leave) -> Taken:
        """Let the script go."""
        self.forgotten = leave.forget
        return Taken(self.taken)
