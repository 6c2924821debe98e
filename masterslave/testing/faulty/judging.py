"""What a played farm has to have kept, whatever was done to it.

* Each task has one answer, on the disk and at the script: the right value, or its true error.
* What was acknowledged is on the disk: submissions, answers that the script was told, and outcomes
  that a slave need not keep any more.
* No task begins twice without a reason: something was done to one of the two slaves, or to its
  master meanwhile; its process died; or it was tried a second time, as it took long. That a master
  was killed is no reason, if it was on the disk who has the task, and that slave was well.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

from msgspec import Struct

from masterslave.journal.facts import RUN_BITS, Ended, HandedOut, Lost, Settled, Submitted
from masterslave.journal.fold import keys_in
from masterslave.scheduler.promises.broken import BrokenPromise
from masterslave.testing.faulty.disk import Disk
from masterslave.testing.faulty.loop import Loop
from masterslave.testing.faulty.script import GIVEN_UP, Played, Script, true_answer
from masterslave.testing.faulty.service import answers_on

if TYPE_CHECKING:
    from masterslave.testing.faulty.slave import PlayedSlave

__all__ = ["Judge", "Start"]

_AFTER_S = 12.0
"""So long what was done to a slave, or to the master, has consequences."""

Key = tuple[int, int]


class Start(Struct):
    """A task began at a slave: when, and by which hand-out."""

    at: float
    slave: PlayedSlave
    key: Key


class Judge:
    """Writes down what happens, and says what was not kept."""

    def __init__(self, loop: Loop, script: Script) -> None:
        self.masters = 0
        self._loop, self._script = loop, script
        self.wrong: list[str] = []
        self._told: dict[int, bytes] = {}
        self._acknowledged: set[int] = set()
        self._starts: defaultdict[int, list[Start]] = defaultdict(list)
        self._hurt_master: list[tuple[float, float]] = []
        self._task_of: dict[Key, list[Played]] = defaultdict(list)

    def open(self) -> list[int]:
        """Return the tasks that the script was not told of, by their index."""
        return [task.index for task in self._script.tasks if task.index not in self._told]

    # What happens.

    def note_master(self) -> None:
        """A master begins."""
        self.masters += 1

    def note_hurt_master(self, begin: float, end: float) -> None:
        """The master was stopped."""
        self._hurt_master.append((begin, end))

    def note_acknowledged(self, disk: Disk, part: Iterable[Played]) -> None:
        """The script was told that these are on the disk."""
        keys = {
            key
            for fact in disk.all_facts()
            if isinstance(fact, Submitted)
            for key in keys_in(fact.keys)
        }
        for task in part:
            self._acknowledged.add(task.index)
            if task.key not in keys:
                self.wrong.append(f"task {task.index} was acknowledged, and is on no disk")

    def note_told(self, disk: Disk, index: int, answer: bytes) -> None:
        """The script was told an answer."""
        task = self._script.tasks[index]
        if not self._is_true(disk, task, answer):
            self.wrong.append(f"task {index} was answered {answer!r}")
        if self._told.setdefault(index, answer) != answer:
            self.wrong.append(f"task {index} was answered {self._told[index]!r}, then {answer!r}")
        if answers_on(disk, disk.seen).get(task.key) != answer:
            self.wrong.append(f"task {index} was told {answer!r}, which is on no disk")

    def _is_true(self, disk: Disk, task: Played, answer: bytes | None) -> bool:
        if answer != GIVEN_UP or task.kind == "kills":
            return answer == true_answer(task)
        losses = Counter(
            (number, fact.attempt)
            for fact in disk.all_facts()
            if isinstance(fact, Lost)
            for number in range(fact.task, fact.task + fact.count)
            if disk.seen.key_of(number) == task.key
        )
        return len(losses) >= 3

    def note_start(self, task: Played, start: Start) -> None:
        """A task begins."""
        self._starts[task.index].append(start)
        self._task_of[start.key].append(task)

    def note_forgotten(self, disk: Disk, slave: PlayedSlave, key: Key) -> None:
        """A slave keeps an outcome no more."""
        for task in self._task_of.get(key, ()):
            is_old = key[0] >> RUN_BITS < disk.seen.run
            is_late = slave.hurt or self._hurt_master  # it is waited for so long, and no longer
            is_unknown = is_old and (is_late or not _is_recorded(disk, key))
            if task.key not in answers_on(disk, disk.seen) and not is_unknown:
                self.wrong.append(
                    f"{slave.name} need not keep the outcome of task {task.index}, which is on no "
                    "disk"
                )

    # What was kept.

    def count_twice(self) -> int:
        """Return how many tasks began more than once."""
        return sum(len(starts) > 1 for starts in self._starts.values())

    def judge_all(self, disk: Disk) -> None:
        """See that all was kept, as it is on the disk of the master that leads in the end.

        Raises:
            BrokenPromise: It was not; the message says what.
        """
        folded = disk.folded()
        answers = answers_on(disk, folded)
        for task in self._script.tasks:
            if not self._is_true(disk, task, answers.get(task.key)):
                raise BrokenPromise(f"task {task.index} is {answers.get(task.key)!r} on the disk")
            if self._told[task.index] != answers[task.key]:
                raise BrokenPromise(f"task {task.index} was told {self._told[task.index]!r}")
        if folded.counts.again or folded.counts.orphans:
            raise BrokenPromise(
                f"{folded.counts.again} tasks were settled twice, {folded.counts.orphans} facts "
                "are about tasks that were never submitted"
            )
        settled: set[int] = set()
        for fact in disk.all_facts():
            if isinstance(fact, Settled | Ended):
                first = fact.task if isinstance(fact, Settled) else fact.first
                for number in range(first, first + fact.count):
                    if number in settled:
                        raise BrokenPromise(f"task number {number} was settled twice")
                    settled.add(number)
        lost = {(f.task, f.attempt) for f in disk.all_facts() if isinstance(f, Lost)}
        for task in self._script.tasks:
            starts = self._starts[task.index]
            for before, after in pairwise(starts):
                if task.kind != "kills" and not self._has_reason(disk, task, before, after, lost):
                    raise BrokenPromise(
                        f"task {task.index} began at {before.slave.name} at {before.at:.3f} s as "
                        f"{before.key} and at {after.slave.name} at {after.at:.3f} s as "
                        f"{after.key}, without a reason"
                    )

    def _has_reason(
        self, disk: Disk, task: Played, before: Start, after: Start, lost: set[Key]
    ) -> bool:
        begin, end = before.at, after.at
        hurt = [*before.slave.hurt, *after.slave.hurt, *self._hurt_master]
        if any(a <= end and b + _AFTER_S >= begin for a, b in hurt):
            return True
        if before.key[0] >> RUN_BITS == after.key[0] >> RUN_BITS:
            repeatable = task.part % 2 == 0
            return before.key in lost or (repeatable and before.key[0] == after.key[0])
        return not _is_recorded(disk, min(before.key, after.key))  # the one of the earlier run


def _is_recorded(disk: Disk, key: Key) -> bool:
    """Tell whether it is on the disk that this was handed out."""
    return any(
        key == (task, attempt)
        for fact in disk.all_facts()
        if isinstance(fact, HandedOut)
        for task, attempt, _ in fact.hand_outs
    )
