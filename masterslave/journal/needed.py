"""Which facts of a journal are still needed, and which parts of them (pure).

What is known after these facts is what was known before, as far as anybody can still ask for it:
results that were not invalidated or replaced, what is out, how tasks have ended that have no
result, post-mortems, notes, and all runs, slaves and functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

import msgspec

from masterslave.journal.facts import (
    KEY_BYTES,
    NO_PLACE,
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
    Settled,
    Submitted,
)
from masterslave.journal.fold import Folded, Out, keys_in
from masterslave.journal.left_code import LEFT, name_in, wanted_code, wanted_objects
from masterslave.journal.numbers import OPEN
from masterslave.journal.tickets import MADE, NOTES
from masterslave.journal.tickets import OPEN as UNANSWERED

__all__ = ["Needed", "moved"]

_RECENT_LOSSES = 1000
"""So many post-mortems are kept, and those of tasks that have no value."""

_VALUE = 0  # protocol.outcomes.VALUE: nobody will run such a task again to see how it fails


class Needed:
    """Tells what of each fact is needed.

    Args:
        folded: What is known after all facts.
        keep_runs: Results of tasks that nobody has submitted in so many of the last runs are not
            wanted; None: all are.
    """

    def __init__(self, folded: Folded, keep_runs: int | None = None) -> None:
        self._folded = folded
        self._latest = _latest(folded)
        self._first_run = 0 if keep_runs is None else max(1, folded.run - keep_runs + 1)
        self._out = folded.out
        self._tickets = folded.tickets
        self._are_noted = False
        used = {row.function for ticket in folded.tickets for row in ticket.rows}
        self._wanted_left = wanted_code(folded.left, used) | wanted_objects(
            folded.left, folded.tickets.by_index
        )
        self._ends: dict[bytes, int] = {}
        for end in folded.ends:
            for number in range(end.first, end.first + end.count):
                key = folded.key_of(number)
                if key is not None and key not in folded.finished:
                    self._ends[key] = number  # the latest of its ends
        self._named = set(self._ends.values())
        self._losses: set[tuple[int, int]] = set()
        old = len(folded.losses) - _RECENT_LOSSES
        for place, loss in enumerate(folded.losses):
            if not self._is_forgotten(loss) and (place >= old or not self._has_value(loss)):
                self._losses.add((loss.task, loss.attempt))
                self._named.update(range(loss.task, loss.task + loss.count))

    @property
    def results(self) -> int:
        """How many results are wanted."""
        return sum(map(self._is_wanted, self._folded.finished))

    def of(self, fact: Fact) -> Iterator[Fact]:
        """Return what is needed of a fact; hand-outs come at the end, see ``hand_outs``."""
        match fact:
            case Submitted():
                yield from self._submitted(fact)
            case Settled(task=task, count=1):
                if self._has_result(fact, task):
                    yield fact
            case Settled(task=task, count=count, skip=skip):
                for first, many in _runs(
                    task, count, lambda number: self._has_result(fact, number)
                ):
                    item = skip + first - task if skip >= 0 else skip
                    yield msgspec.structs.replace(fact, task=first, count=many, skip=item)
            case Noted():
                yield from self._noted(fact)
            case HandedOut() | Invalidated() | Retried() | Lost(post_mortem=None):
                pass
            case Lost(task=task, attempt=attempt):
                if (task, attempt) in self._losses:
                    yield fact
            case ArgumentsKnown(task=task):
                if self._has_failed(task):
                    yield fact
            case Ended(first=start, count=count, why=why):
                is_needed = self._has_ended if why == "cancelled" else self._is_end
                for first, many in _runs(start, count, is_needed):
                    yield msgspec.structs.replace(fact, first=first, count=many)
            case _:
                yield fact

    def _noted(self, fact: Noted) -> Iterator[Fact]:
        if fact.kind in LEFT:
            if name_in(fact) in self._wanted_left:
                yield fact
        elif fact.kind not in NOTES:
            yield fact
        elif fact.kind == MADE and not self._are_noted:  # before all that is about their tasks
            self._are_noted = True
            yield from self._tickets.notes()

    def hand_outs(self) -> Iterator[Fact]:
        """Return what is out, as hand-outs; they come after all other facts."""
        depth = max((len(out.others) for out in self._out.values()), default=-1) + 1
        for level in range(depth):
            holders = sorted(
                (slave, attempt, number)
                for number, out in self._out.items()
                for attempt, slave in _holders(out)[level : level + 1]
            )
            for (slave, attempt), rows in groupby(holders, key=lambda holder: holder[:2]):
                numbers = [number for _, _, number in rows]
                yield HandedOut(
                    slave, tuple((first, attempt, count) for first, count in _rows_of(numbers))
                )

    def _submitted(self, fact: Submitted) -> Iterator[Fact]:
        count, find = len(fact.keys) // KEY_BYTES, self._folded.numbers.find
        has_each = len(fact.arguments) == count
        if fact.arguments and not has_each:
            yield fact  # as a later release may write it
            return
        for first, many in _runs(fact.first, count, lambda number: self._is_asked(fact, number)):
            keys = b"".join(
                found[0].key(found[1])
                for number in range(first, first + many)
                if (found := find(number)) is not None
            )
            arguments = tuple(
                fact.arguments[number - fact.first] if self._may_run(number) else NO_PLACE
                for number in (range(first, first + many) if has_each else ())
            )
            if not any(place.size for place in arguments):
                arguments = ()
            yield Submitted(first, fact.function, keys, arguments, fact.are_items)

    def _is_asked(self, fact: Submitted, number: int) -> bool:
        folded = self._folded
        found = folded.numbers.find(number)
        if found is None:
            return False
        row, at = found
        key = row.key(at)
        if self._is_wanted(key) and number in (
            self._latest.get(key),
            folded.finished.number_of(key),
        ):
            return True
        if number in self._out or number in self._named:
            return True
        if self._tickets.find(number) is not None:
            return self._tickets.is_latest(number)
        return bool(fact.arguments) and row.states[at] == OPEN and key not in folded.finished

    def _may_run(self, number: int) -> bool:
        key = self._folded.key_of(number)
        finish = self._folded.finished.get(key) if key is not None else None
        return finish is None or finish.number != number or finish.kind != _VALUE

    def _is_forgotten(self, loss: Lost) -> bool:
        found = self._tickets.find(loss.task)
        return found is not None and found[0] not in self._tickets.by_index

    def _has_value(self, loss: Lost) -> bool:
        finished, key_of = self._folded.finished, self._folded.key_of
        keys = [key_of(number) for number in range(loss.task, loss.task + loss.count)]
        ends = [finished.get(key) if key is not None else None for key in keys]
        return all(end is not None and end.kind == _VALUE for end in ends)

    def _has_failed(self, number: int) -> bool:
        key = self._folded.key_of(number)
        finish = self._folded.finished.get(key) if key is not None else None
        if finish is None:
            return number in self._named
        return finish.number == number and finish.kind != _VALUE

    def _is_wanted(self, key: bytes) -> bool:
        if not self._first_run:
            return key in self._folded.finished
        number = self._latest.get(key, self._folded.finished.number_of(key))
        return number >= 0 and number >> RUN_BITS >= self._first_run

    def _has_result(self, fact: Settled, number: int) -> bool:
        key = self._folded.key_of(number)
        finish = self._folded.finished.get(key) if key is not None else None
        if key is None or finish is None or finish.number != number:
            return False
        skip = fact.skip + number - fact.task if fact.skip >= 0 else fact.skip
        its = (skip, fact.place, fact.slave, fact.kind)
        is_its = its == (finish.skip, finish.place, finish.slave, finish.kind)
        return is_its and self._is_wanted(key)

    def _has_ended(self, number: int) -> bool:
        """Tell whether a ticket's task was answered so; if it was cancelled, too."""
        found = self._tickets.find(number)
        ticket = self._tickets.by_index.get(found[0]) if found else None
        return (
            ticket is not None
            and found is not None
            and self._tickets.is_latest(number)
            and ticket.what(found[1]) != UNANSWERED
        )

    def _is_end(self, number: int) -> bool:
        key = self._folded.key_of(number)
        return key is not None and self._ends.get(key) == number


def _latest(folded: Folded) -> dict[bytes, int]:
    """Return the last task that has asked for a result, of those asked for in a later run."""
    latest: dict[bytes, int] = {}
    number_of = folded.finished.number_of
    for row in folded.numbers:
        start = row.first >> RUN_BITS << RUN_BITS
        for at, key in enumerate(keys_in(bytes(row.keys))):
            if -1 < number_of(key) < start:
                latest[key] = row.first + at
    return latest


def _holders(out: Out) -> tuple[tuple[int, int], ...]:
    return (*out.others, (out.attempt, out.slave))


def _runs(first: int, count: int, is_needed: Callable[[int], bool]) -> Iterator[tuple[int, int]]:
    """Return the parts of a row of tasks that are needed, each as its first and its number."""
    return _rows_of([number for number in range(first, first + count) if is_needed(number)])


def _rows_of(numbers: list[int]) -> Iterator[tuple[int, int]]:
    start = 0
    for at in range(1, len(numbers) + 1):
        if at == len(numbers) or numbers[at] != numbers[at - 1] + 1:
            yield numbers[start], at - start
            start = at


def moved(fact: Fact, move: Callable[[Place], Place]) -> Fact:
    """Return a fact whose payloads are elsewhere."""
    match fact:
        case Settled(task, attempt, count, skip, kind, place, slave, seconds):
            return Settled(task, attempt, count, skip, kind, move(place), slave, seconds)
        case Submitted(arguments=places) if places:
            changes: dict[str, object] = {"arguments": tuple(map(move, places))}
        case Noted(places=places) if places:
            changes = {"places": tuple(map(move, places))}
        case Ended(place=Place() as place) | ArgumentsKnown(place=place):
            changes = {"place": move(place)}
        case Lost(post_mortem=Place() as place):
            changes = {"post_mortem": move(place)}
        case FunctionKnown(packed=Place() as place):
            changes = {"packed": move(place)}
        case _:
            return fact
    return msgspec.structs.replace(fact, **changes)
