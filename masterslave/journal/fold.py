"""From facts to what is known: ``Folded`` takes in facts, in their order (pure).

It is the same whether they come at once or one by one. It holds what the next master needs; what
people want to see of one task, such as its arguments and its story, is looked for in the facts.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from masterslave.journal.facts import (
    ARBITER,
    EPOCH,
    KEY_BYTES,
    NO_KEY,
    RUN_BITS,
    ArgumentsKnown,
    Ended,
    Fact,
    FunctionKnown,
    HandedOut,
    Invalidated,
    Lost,
    Noted,
    Place,
    Retried,
    RunBegan,
    Settled,
    SlaveKnown,
    Submitted,
)
from masterslave.journal.finished import Finished
from masterslave.journal.left_code import LEFT
from masterslave.journal.numbers import ENDED, OPEN, SETTLED, Numbers
from masterslave.journal.tickets import NOTES, Tickets, key_of

__all__ = ["Counts", "Folded", "Out", "keys_in"]

_FINISH_BYTES = 80
"""What a result takes in the file beside its payload, about: its key, and how it was settled."""


@dataclass(slots=True)
class Counts:
    """How often what was recorded, tasks one by one."""

    submitted: int = 0
    handed_out: int = 0
    settled: int = 0
    ended: int = 0
    lost: int = 0
    invalidated: int = 0
    again: int = 0
    """Of those that were settled, how many had a result already, by their number or their key."""

    orphans: int = 0
    """Settled, ended or handed out, and never submitted as far as can be read."""

    unknown: int = 0
    """Facts that this release does not know: a later one has written them."""


class Out(Struct, frozen=True, gc=False):
    """A task that was handed out and has no end.

    Attributes:
        key: ``NO_KEY`` where it has none.
        attempt: The latest that was not lost, and *slave* the number of the one that has it.
        run: In which it was submitted.
        others: ``(attempt, slave)`` of earlier attempts that were not lost either.
        is_item: It is an item of a span.
    """

    key: bytes
    attempt: int
    slave: int
    run: int
    others: tuple[tuple[int, int], ...] = ()
    is_item: bool = False

    @property
    def attempts(self) -> tuple[int, ...]:
        """All that were not lost, in the order in which they were handed out."""
        return (*(attempt for attempt, _ in self.others), self.attempt)

    def at(self, slaves: Container[int]) -> Out | None:
        """Return what of it these slaves have; None: nothing."""
        left = [one for one in (*self.others, (self.attempt, self.slave)) if one[1] in slaves]
        if not left:
            return None
        attempt, slave = left[-1]
        return replace(self, attempt=attempt, slave=slave, others=tuple(left[:-1]))


@dataclass(slots=True)
class Folded:
    """What is known after all facts that were taken in.

    Attributes:
        finished: What has a result, by key; the latest where there are several.
        runs: How each run began.
        ends: Those without a result, save the cancelled ones.
        losses: Hand-outs that were lost with a post-mortem.
        notes: The bodies of each kind, in their order; those about tickets are not among them.
        tickets: Tasks that scripts have left with the farm.
        left: Notes about functions and objects that they have left, in their order; not among the
            others.
        live_bytes: What the results take in the file, about.
    """

    finished: Finished = field(default_factory=Finished)
    numbers: Numbers = field(default_factory=Numbers)
    runs: list[RunBegan] = field(default_factory=list)
    slaves: dict[int, SlaveKnown] = field(default_factory=dict)
    functions: dict[int, FunctionKnown] = field(default_factory=dict)
    ends: list[Ended] = field(default_factory=list)
    losses: list[Lost] = field(default_factory=list)
    notes: dict[str, list[bytes]] = field(default_factory=dict)
    tickets: Tickets = field(default_factory=Tickets)
    left: list[Noted] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    live_bytes: int = 0
    _holders: dict[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    @property
    def run(self) -> int:
        """The last run; 0 before the first."""
        return self.runs[-1].run if self.runs else 0

    @property
    def epoch(self) -> int:
        """The highest epoch of all runs, and of those that were noted later."""
        noted = (int(body) for body in self.notes.get(EPOCH, ()))
        return max((*(began.epoch for began in self.runs), *noted), default=0)

    @property
    def arbiter(self) -> str:
        """Where the name server is that decides who leads; empty: it is not noted."""
        return self.notes.get(ARBITER, [b""])[-1].decode()

    @property
    def out(self) -> dict[int, Out]:
        """What was handed out and has no end, by number, made anew each time.

        What nobody can ask for any more is not among it: tasks of earlier runs that have no key,
        or whose key has a result meanwhile.
        """
        found, run = {}, self.run
        for number, holders in self._holders.items():
            key = self.key_of(number) or NO_KEY
            if number >> RUN_BITS == run if key == NO_KEY else key not in self.finished:
                attempt, slave = holders[-1]
                row = self.numbers.find(number)
                is_item = row is not None and row[0].are_items
                found[number] = Out(key, attempt, slave, number >> RUN_BITS, holders[:-1], is_item)
        return found

    def key_of(self, number: int) -> bytes | None:
        """Return the key of a task, or None if there is none, or it has none."""
        found = self.numbers.find(number)
        if found is None:
            return None
        key = found[0].key(found[1])
        return None if key == NO_KEY else key

    def take(self, facts: Iterable[Fact], unknown: int = 0) -> None:
        """Take in facts, the next ones after those before; *unknown* of others are counted."""
        self.counts.unknown += unknown
        take = _TAKE
        for fact in facts:
            take[type(fact)](self, fact)

    def _begin_run(self, fact: RunBegan) -> None:
        self.runs.append(fact)

    def _know_slave(self, fact: SlaveKnown) -> None:
        self.slaves[fact.index] = fact

    def _know_function(self, fact: FunctionKnown) -> None:
        self.functions[fact.index] = fact

    def _submit(self, fact: Submitted) -> None:
        self.numbers.add(fact.first, fact.function, fact.keys, are_items=fact.are_items)
        self.counts.submitted += len(fact.keys) // KEY_BYTES
        if self.tickets:
            self.tickets.submit(fact)

    def _hand_out(self, fact: HandedOut) -> None:
        holders, find = self._holders, self.numbers.find
        for task, attempt, count in fact.hand_outs:
            holder = (attempt, fact.slave)
            self.counts.handed_out += count
            for number in range(task, task + count):
                found = find(number)
                if found is None:
                    self.counts.orphans += 1
                elif found[0].states[found[1]] == OPEN:
                    before = holders.get(number)
                    holders[number] = (holder,) if before is None else (*before, holder)

    def _settle(self, fact: Settled) -> None:
        place, skip, count, finished = fact.place, fact.skip, fact.count, self.finished
        counts, find, holders = self.counts, self.numbers.find, self._holders
        counts.settled += count
        if self.tickets:
            self.tickets.settle(fact)
        self.live_bytes += _bytes_of(place, count) * count
        for at in range(count):
            number = fact.task + at
            found = find(number)
            holders.pop(number, None)
            if found is None:
                counts.orphans += 1
                self.live_bytes -= _bytes_of(place, count)
                continue
            row, where = found
            key = row.key(where)
            is_again = row.states[where] == SETTLED
            row.states[where] = SETTLED
            if key == NO_KEY:
                self.live_bytes -= _bytes_of(place, count)
            else:
                is_again = key in finished or is_again
                if is_again:
                    self._drop(key)
                item = skip + at if skip >= 0 else skip
                finished.put(
                    key,
                    (
                        number,
                        place.row,
                        place.offset,
                        place.size,
                        item,
                        count,
                        fact.slave,
                        fact.kind,
                    ),
                )
            counts.again += is_again

    def _drop(self, key: bytes) -> None:
        gone = self.finished.drop(key)
        if gone is not None:
            self.live_bytes -= _bytes_of(gone.place, gone.count)

    def _end(self, fact: Ended) -> None:
        self.counts.ended += fact.count
        if self.tickets:
            self.tickets.end(fact)
        if fact.why != "cancelled":
            self.ends.append(fact)
        for number in range(fact.first, fact.first + fact.count):
            self._holders.pop(number, None)
            found = self.numbers.find(number)
            if found is None:
                self.counts.orphans += 1
            elif found[0].states[found[1]] == OPEN:
                found[0].states[found[1]] = ENDED

    def _lose(self, fact: Lost) -> None:
        self.counts.lost += fact.count
        if fact.post_mortem is not None:
            self.losses.append(fact)
        if not fact.may_come:
            self._take_back(fact.task, fact.count, fact.attempt)

    def _retry(self, fact: Retried) -> None:
        self._take_back(fact.task, 1, fact.attempt)

    def _take_back(self, first: int, count: int, attempt: int) -> None:
        """An attempt is out no more."""
        for number in range(first, first + count):
            holders = self._holders.get(number, ())
            left = tuple(each for each in holders if each[0] != attempt)
            if left:
                self._holders[number] = left
            elif holders:
                del self._holders[number]

    def _invalidate(self, fact: Invalidated) -> None:
        self.counts.invalidated += self._forget({*keys_in(fact.keys)})

    def _forget(self, keys: set[bytes]) -> int:
        """Forget results of these keys, and those that are on their way; returns how many."""
        for key in keys:
            number = self.finished.number_of(key)
            found = self.numbers.find(number)
            if found is not None:
                found[0].forget_key(found[1])
            self._drop(key)
        for number in list(self._holders):
            found = self.numbers.find(number)
            if found is not None and found[0].key(found[1]) in keys:
                found[0].forget_key(found[1])
                del self._holders[number]
        return len(keys)

    def _note(self, fact: Noted) -> None:
        if fact.kind in NOTES:
            forgotten = self.tickets.note(fact)
            if forgotten is not None:
                self._forget_ticket(forgotten)
            return
        if fact.kind in LEFT:
            self.left.append(fact)
            return
        self.notes.setdefault(fact.kind, []).append(fact.body)

    def _forget_ticket(self, index: int) -> None:
        ticket = self.tickets.forget(index)
        for number in self.tickets.numbers_of(index):
            self._holders.pop(number, None)
            found = self.numbers.find(number)
            if found is not None:
                found[0].forget_key(found[1])
        if ticket is not None:
            for serial in range(ticket.count):
                self._drop(key_of(ticket.made.name, serial))


_TAKE: dict[type, Callable[[Folded, Any], None]] = {
    RunBegan: Folded._begin_run,
    SlaveKnown: Folded._know_slave,
    FunctionKnown: Folded._know_function,
    Submitted: Folded._submit,
    HandedOut: Folded._hand_out,
    Settled: Folded._settle,
    Ended: Folded._end,
    Lost: Folded._lose,
    Invalidated: Folded._invalidate,
    Noted: Folded._note,
    ArgumentsKnown: lambda folded, fact: None,
    Retried: Folded._retry,
}


def keys_in(keys: bytes) -> Iterator[bytes]:
    """Return keys one by one that lie in a row."""
    for at in range(0, len(keys), KEY_BYTES):
        yield keys[at : at + KEY_BYTES]


def _bytes_of(place: Place, count: int) -> int:
    return _FINISH_BYTES + place.size // count if count else 0
