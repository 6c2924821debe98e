"""Facts, and what is known after them."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterslave.journal import (
    NO_KEY,
    Ended,
    Fact,
    Folded,
    HandedOut,
    Invalidated,
    Lost,
    Noted,
    Place,
    Settled,
    Submitted,
)
from masterslave.journal.facts import read_facts, write_facts
from masterslave.journal.fold import Out
from tests.masterslave.journal.facts import BASE, began, folded, histories, key, known

AT = Place(7, 3, 5)


@given(histories(), st.lists(st.integers(0, 60)))
def test_facts_fold_the_same_at_once_and_in_pieces(facts: list[Fact], cuts: list[int]) -> None:
    at_once, in_pieces = folded(*facts), Folded()
    edges = [0, *sorted(min(cut, len(facts)) for cut in cuts), len(facts)]
    for start, stop in pairwise(edges):
        in_pieces.take(facts[start:stop])
    assert known(in_pieces) == known(at_once)


@given(histories())
def test_facts_are_read_as_they_were_written(facts: list[Fact]) -> None:
    assert read_facts(write_facts(facts)) == (facts, 0)


@given(histories())
def test_nothing_is_out_and_finished_and_no_count_is_negative(facts: list[Fact]) -> None:
    state = folded(*facts)
    assert not {out.key for out in state.out.values()} & set(state.finished)
    assert state.live_bytes >= 0
    assert (state.live_bytes == 0) == (not state.finished)
    for each, finish in state.finished.items():
        assert state.key_of(finish.number) == each


def test_facts_and_fields_of_a_later_release_are_passed_over() -> None:
    later = msgspec.msgpack.encode(
        [
            [99, "what is this?", {"a": [1, 2]}],
            [*msgspec.to_builtins(Noted("kind", b""))[:2], b"body", [], "a field more"],
            [4, BASE, 0, key(1)],  # as one would have written it that knew of no arguments
        ]
    )
    facts, unknown = read_facts(later)
    assert facts == [Noted("kind", b"body"), Submitted(BASE, 0, key(1))]
    assert unknown == 1
    state = Folded()
    state.take(facts, unknown)
    assert state.counts.unknown == 1


@pytest.mark.parametrize(
    "body", [b"", b"\xc1", b"\x91\x90", b"\x91\x92\xa1x\x01", b"\x91\x92\x04\xc0"]
)
def test_what_are_no_facts_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        read_facts(body)


def test_a_task_is_finished_by_key_whatever_its_run() -> None:
    state = folded(
        began(1),
        Submitted(BASE, 0, key(1) + key(2)),
        HandedOut(5, ((BASE, 1, 2),)),
        Settled(BASE, 1, 1, -1, 0, AT, 5),
        began(2),
    )
    assert state.finished[key(1)].place == AT
    assert (state.finished[key(1)].slave, state.finished[key(1)].skip) == (5, -1)
    assert state.out == {BASE + 1: Out(key(2), 1, 5, 1)}
    assert (state.run, state.key_of(BASE + 1), state.key_of(BASE + 2)) == (2, key(2), None)


def test_items_of_a_payload_are_numbered() -> None:
    state = folded(Submitted(BASE, 0, key(1) + key(2)), Settled(BASE, 1, 2, 4, 0, AT))
    assert [state.finished[key(n)].skip for n in (1, 2)] == [4, 5]


def test_an_attempt_that_is_lost_leaves_the_other_ones() -> None:
    first, second = HandedOut(1, ((BASE, 1, 1),)), HandedOut(2, ((BASE, 2, 1),))
    state = folded(Submitted(BASE, 0, key(1)), first, second)
    assert state.out[BASE] == Out(key(1), 2, 2, 1, ((1, 1),))
    state.take([Lost(BASE, 2, 1, 2, "gone")])
    assert state.out[BASE] == Out(key(1), 1, 1, 1)
    state.take([Lost(BASE, 1, 1, 1, "gone")])
    assert not state.out


def test_tasks_without_a_key_are_out_while_their_run_lasts() -> None:
    state = folded(began(1), Submitted(BASE, 0, NO_KEY), HandedOut(1, ((BASE, 1, 1),)))
    assert BASE in state.out
    state.take([began(2)])
    assert not state.out


def test_what_is_invalidated_is_gone_and_so_is_what_is_on_its_way() -> None:
    state = folded(
        Submitted(BASE, 0, key(1) + key(2) + key(3)),
        HandedOut(1, ((BASE, 1, 2),)),
        Settled(BASE, 1, 1, -1, 0, AT),
        Invalidated(key(1) + key(2) + key(3)),
        Settled(BASE + 1, 1, 1, -1, 0, AT),  # it was running when its key was invalidated
    )
    assert (len(state.finished), len(state.out)) == (0, 0)
    state.take([HandedOut(1, ((BASE + 2, 1, 1),)), Settled(BASE + 2, 1, 1, -1, 0, AT)])
    assert list(state.finished) == [key(3)]  # it has run since


def test_what_was_settled_again_is_counted() -> None:
    done = Settled(BASE, 1, 1, -1, 0, AT)
    state = folded(Submitted(BASE, 0, key(1)), done, done)
    state.take([Submitted(BASE + 1, 0, key(1)), Settled(BASE + 1, 1, 1, -1, 0, AT)])
    assert (state.counts.settled, state.counts.again) == (3, 2)
    assert state.finished[key(1)].number == BASE + 1


def test_ends_without_a_result_are_remembered_but_for_cancelled_ones() -> None:
    failed = Ended(BASE + 1, 1, "given up", AT)
    state = folded(Submitted(BASE, 0, key(1) + key(2)), Ended(BASE, 1, "cancelled"), failed)
    assert state.ends == [failed]
    assert not state.out
