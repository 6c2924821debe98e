"""A disk that is written in batches, and a journal on it that can be killed at any moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from masterslave.journal.batch import Batch
from masterslave.journal.facts import RUN_BITS, Fact, Place, RunBegan, read_facts, write_facts
from masterslave.journal.fold import Folded
from masterslave.testing.faulty.loop import Loop

__all__ = ["Disk", "PlayedJournal"]

Callback = Callable[[], None]

_GATHER_S = 0.02
_WRITE_S = (0.001, 0.03)


class Disk:
    """What is on a disk, for good.

    Attributes:
        full_until: Nothing can be written before.
    """

    def __init__(self) -> None:
        self.facts: list[bytes] = []
        self.seen = Folded()
        """What is known from it, as it is now."""
        self.payloads: dict[int, bytes] = {}
        self.full_until = 0.0

    def write(self, facts: list[tuple[int, bytes]], payloads: list[tuple[int, bytes]]) -> None:
        """Write a batch, whole."""
        for _, body in facts:
            self.facts.append(body)
            self.seen.take(*read_facts(body))
        self.payloads.update(payloads)

    def clear(self) -> None:
        """Begin anew, with nothing."""
        self.facts, self.payloads, self.seen = [], {}, Folded()

    def read(self, place: Place) -> bytes:
        """Return a payload; the large ones of real journals are not played."""
        return self.payloads[place.row][place.offset : place.offset + place.size]

    def all_facts(self) -> list[Fact]:
        """Return all facts, in their order."""
        return [fact for body in self.facts for fact in read_facts(body)[0]]

    def folded(self) -> Folded:
        """Return what is known from it."""
        folded = Folded()
        for body in self.facts:
            folded.take(*read_facts(body))
        return folded


class PlayedJournal:
    """A journal, as ``Recording`` uses it: what is recorded is on the disk some milliseconds later.

    Args:
        stopped_until: Says until when its process is stopped.

    Attributes:
        released: Takes what waited for a commit, and returns what may be called now.
    """

    def __init__(
        self, loop: Loop, disk: Disk, random: Random, epoch: int, stopped_until: Callable[[], float]
    ) -> None:
        self.after = self._after
        self._loop, self._disk, self._random = loop, disk, random
        self._stopped_until = stopped_until
        self._batch = Batch()
        self._is_due = self.is_dead = False
        self._row = max(disk.payloads, default=0)
        run = disk.folded().run + 1
        began = RunBegan(run, epoch, loop.time(), "played", 1, "", "")
        disk.write([(0, write_facts([began]))], [])
        self.folded = disk.folded()
        self.first_number = run << RUN_BITS
        self.released: Callable[[Sequence[Callback]], Sequence[Callback]] = lambda these: these

    def record(self, fact: Fact) -> None:
        """As of ``Journal``."""
        self._batch.facts.append(fact)
        self._wake()

    def keep(self, payload: bytes) -> Place:
        """As of ``Journal``."""
        if not payload:
            return Place(0, 0, 0)
        place, self._row = self._batch.keep(payload, self._row)
        return place

    def _after(self, callback: Callable[[], None]) -> None:
        self._batch.callbacks.append(callback)
        self._wake()

    def die(self) -> None:
        """Its process is killed: of what is being written, all is on the disk or nothing."""
        self.is_dead = True

    def _wake(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.after(_GATHER_S * self._random.random(), self._begin)

    def _begin(self) -> None:
        wait_s = max(self._disk.full_until, self._stopped_until()) - self._loop.now
        if self.is_dead:
            return
        if wait_s > 0:
            self._loop.after(wait_s, self._begin)
            return
        batch, self._batch = self._batch, Batch()
        self._is_due = False
        if self._random.random() < 0.5:  # it is there, and nobody knows yet
            self._write(batch)
            self._loop.after(self._random.uniform(*_WRITE_S), lambda: self._tell(batch))
        else:
            self._is_due = True
            self._loop.after(self._random.uniform(*_WRITE_S), lambda: self._end(batch))

    def _end(self, batch: Batch) -> None:
        if self.is_dead:
            return
        self._is_due = False
        self._write(batch)
        self._tell(batch)
        if self._batch.has_work:
            self._wake()

    def _write(self, batch: Batch) -> None:
        self._disk.write(*batch.rows(0))

    def _tell(self, batch: Batch) -> None:
        if not self.is_dead:
            for callback in self.released(batch.callbacks):
                callback()
