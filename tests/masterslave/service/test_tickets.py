"""What is known of tickets, from the facts; and after the journal was compacted."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from masterslave.journal import RUN_BITS, Ended, Fact, Folded, Place, RunBegan, Settled, Submitted
from masterslave.journal.facts import NO_PLACE
from masterslave.journal.needed import Needed
from masterslave.journal.tickets import (
    ANSWERS,
    OPEN,
    Sent,
    TicketMade,
    key_of,
    note_forgotten,
    note_made,
    note_numbered,
    note_sent,
)

CALL, EACH = 0, 1
_ENDS = ("cancelled", "given up", "failed", "unable", "predecessor failed")


class Story:
    """Writes facts as a service does, and knows what has to be known after them."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.known: dict[str, list[Any]] = {}
        self._indexes: dict[str, int] = {}
        self._numbers: dict[str, list[list[int]]] = {}
        self._places = 0
        self._given = 0
        self.run = 0
        self.next = 0

    def begin(self) -> None:
        """Begin a run; what is open gets new numbers."""
        self.run += 1
        self.next = self.run << RUN_BITS
        self.facts.append(RunBegan(self.run, 0, 1e9, "host", 1, "0.1", "3.11"))
        for name, tasks in self.known.items():
            for serial, one in enumerate(tasks):
                if one[0] == OPEN:
                    self._number(name, serial, [one[1]])

    def place(self) -> Place:
        self._places += 1
        return Place(1 + self._places // 10, 7 * self._places % 50, 1 + self._places)

    def make(self) -> None:
        name = f"ticket-{self._given}"
        self._indexes[name] = self._given
        self._given += 1
        self.known[name], self._numbers[name] = [], []
        self.facts.append(note_made(TicketMade(self._indexes[name], name, "x.py", "host", 1, 1e9)))

    def submit(self, name: str, count: int, form: int, *, is_cut_off: bool) -> None:
        first = len(self.known[name])
        sent = Sent(
            self._indexes[name], first, count, b"f%d" % (first % 2), b"terms", form,
            visitor=f"v{first % 3}",
        )  # fmt: skip
        self.facts.append(note_sent(sent))
        if is_cut_off:  # the end of a run, in the middle of what was not acknowledged
            return
        places = [self.place() for _ in range(count)]
        self.known[name] += [[OPEN, place] for place in places]
        self._numbers[name] += [[] for _ in places]
        self._number(name, first, places)

    def _number(self, name: str, first: int, places: list[Place]) -> None:
        number, count = self.next, len(places)
        self.next += count
        for at in range(count):
            self._numbers[name][first + at].append(number + at)
        keys = b"".join(key_of(name, first + at) for at in range(count))
        self.facts.append(note_numbered(self._indexes[name], first, number, count))
        self.facts.append(Submitted(number, 0, keys, tuple(places)))

    def answer(self, name: str, serial: int, why: str, kind: int, which: int) -> None:
        """A task that is open has its answer, by the number that it has, or had."""
        if self.known[name][serial][0] != OPEN:
            return
        numbers, place = self._numbers[name][serial], self.place()
        if why == "outcome":
            number = numbers[which % len(numbers)]
            self.facts.append(Settled(number, 1, 1, -1, kind, place, 0))
        else:
            place = NO_PLACE if why in ("cancelled", "predecessor failed") else place
            self.facts.append(Ended(numbers[-1], 1, why, place if place.size else None))
        self.known[name][serial] = [ANSWERS.index(why), place]

    def forget(self, name: str) -> None:
        for serial in range(len(self.known[name])):
            self.answer(name, serial, "cancelled", 0, 0)
        self.facts.append(note_forgotten(self._indexes[name]))
        del self.known[name], self._numbers[name]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    story = Story()
    story.begin()
    for _ in range(draw(st.integers(0, 25))):
        names = list(story.known)
        act = draw(st.sampled_from("mssssaaaaaafr" if names else "m"))
        if act == "m":
            story.make()
            continue
        if act == "r":
            if draw(st.booleans()):
                story.submit(draw(st.sampled_from(names)), 2, CALL, is_cut_off=True)
            story.begin()
            continue
        name = draw(st.sampled_from(names))
        if act == "f":
            story.forget(name)
        elif act == "s":
            count, form = draw(st.integers(1, 4)), draw(st.sampled_from([CALL, EACH]))
            story.submit(name, count, form, is_cut_off=False)
        elif story.known[name]:
            serial = draw(st.integers(0, len(story.known[name]) - 1))
            why = draw(st.sampled_from(["outcome", "outcome", *_ENDS]))
            story.answer(name, serial, why, draw(st.integers(0, 2)), draw(st.integers(0, 3)))
    return story


def folded(facts: list[Fact]) -> Folded:
    state = Folded()
    state.take(facts)
    return state


def known(state: Folded) -> dict[str, list[Any]]:
    return {
        ticket.made.name: [[ticket.what(at), ticket[at].place] for at in range(ticket.count)]
        for ticket in state.tickets
    }


def rows(state: Folded) -> dict[str, list[tuple[int, bytes, int, str]]]:
    """Return of each serial how it was sent, and by whom."""
    return {
        ticket.made.name: [
            (at, row.function, row.form, row.visitor)
            for at in range(ticket.count)
            if (row := ticket.row_of(at))
        ]
        for ticket in state.tickets
    }


def needed(facts: list[Fact]) -> list[Fact]:
    which = Needed(folded(facts))
    return [part for fact in facts for part in which.of(fact)] + list(which.hand_outs())


@given(stories())
def test_all_that_was_said_is_known(story: Story) -> None:
    state = folded(story.facts)
    assert known(state) == story.known
    for ticket in state.tickets:
        visitors = [ticket.row_of(at).visitor for at in range(ticket.count)]
        for first in range(ticket.count + 1):
            for one in ("v0", "v1", ""):
                is_another = any(visitor != one for visitor in visitors[first:])
                assert ticket.has_from_another(first, one) is is_another
        is_done = [what != OPEN for what, _ in story.known[ticket.made.name]]
        assert ticket.done == sum(is_done)
        open_runs = ticket.runs(0, ticket.count, are_open=True)
        done_runs = ticket.runs(0, ticket.count, are_open=False)
        found = [False] * ticket.count
        for first, count in done_runs:
            found[first : first + count] = [True] * count
        assert found == is_done
        assert sum(count for _, count in open_runs) == ticket.count - ticket.done


@given(stories())
@settings(max_examples=200)
def test_all_of_it_is_known_after_compaction_and_what_is_forgotten_is_gone(story: Story) -> None:
    left = needed(story.facts)
    before, after = folded(story.facts), folded(left)
    assert known(after) == story.known
    assert rows(after) == rows(before)
    assert needed(left) == left
    keys = {key_of(name, at) for name, tasks in story.known.items() for at in range(len(tasks))}
    for fact in left:
        if isinstance(fact, Submitted):
            assert {fact.keys[at : at + 16] for at in range(0, len(fact.keys), 16)} <= keys
    # One submission of each open task is kept, however often it was taken up.
    for name, tasks in story.known.items():
        for serial, (what, _) in enumerate(tasks):
            kept = [
                one
                for one in left
                if isinstance(one, Submitted) and key_of(name, serial) in one.keys
            ]
            assert len(kept) == 1 or what != OPEN


@given(stories(), st.data())
def test_a_start_goes_on_with_it(story: Story, data: st.DataObject) -> None:
    facts = needed(story.facts)
    more = len(story.facts)
    story.begin()
    for name, tasks in list(story.known.items()):
        for serial in range(len(tasks)):
            story.answer(name, serial, "outcome", 0, data.draw(st.integers(0, 3)))
    assert known(folded(facts + story.facts[more:])) == story.known
