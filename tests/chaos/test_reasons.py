"""When the end of a master is a reason for which a task may run twice, and when it is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.checker import complaints
from tests.chaos.evidence import Entry, Evidence, Ran, Trouble
from tests.chaos.script import answer_of

SQUARE, LONG, REFUSED = "0.square.3", "0.long.0", "0.refuse.0"
KILL = Trouble("kill_master", "master", 10.0, 11.0)


def _twice(
    name: str, first: str, second: str, *, recorded: str, at: float = 13.0, **about: bool
) -> Evidence:
    """A run in which a task ran at 9 s; the master was killed, and it ran again.

    Args:
        recorded: Who was handed it before, as the journal says.
        at: When it ran again.
    """
    evidence = Evidence(troubles=[KILL], **about)
    begun = Entry("begun", 1)
    before = [Entry("submitted", 1, 1, name)]
    before += [Entry("handed out", 1, 1, name, slave, 1) for slave in recorded.split()]
    after = Entry("handed out", 2, 101, name, second, 1)
    answered = replace(after, what="answered", answer=tuple(answer_of(name)))
    evidence.entries = (begun, *before, replace(begun, run=2), after, answered)
    evidence.ran = [Ran(name, first, 7, 9.0, 9.5), Ran(name, second, 8, at, at + 0.5)]
    return evidence


def _found(evidence: Evidence) -> list[str]:
    return [line for line in complaints(evidence) if "there is no reason" in line]


@pytest.mark.parametrize("second", ["anna", "ben"])
@pytest.mark.parametrize("kind", ["kill_master", "kill_standby"])
def test_the_end_of_a_master_is_none_if_the_hand_out_was_in_the_journal(
    second: str, kind: str
) -> None:
    evidence = _twice(SQUARE, "anna", second, recorded="anna", has_standby=True)
    evidence.troubles = [replace(KILL, kind=kind, whom=kind[5:])]
    (found,) = _found(evidence)
    assert f"{SQUARE} ran on anna from 9.000 on (ended at 9.500) and on {second} from" in found


@pytest.mark.parametrize("second", ["anna", "ben"])
def test_it_is_one_if_the_hand_out_was_on_its_way_to_the_disk(second: str) -> None:
    assert not _found(_twice(SQUARE, "anna", second, recorded=""))
    assert not _found(_twice(SQUARE, "anna", second, recorded="cleo"))


def test_it_is_one_whichever_of_the_two_begins_first() -> None:
    evidence = _twice(SQUARE, "anna", "ben", recorded="")
    first, second = evidence.ran
    evidence.ran = [replace(first, began=13.2, ended=13.6), second]
    assert not _found(evidence)
    evidence.entries = _twice(SQUARE, "anna", "ben", recorded="anna").entries
    assert len(_found(evidence)) == 1


def test_it_is_one_once_the_next_master_waits_no_more() -> None:
    evidence = _twice(SQUARE, "anna", "ben", recorded="anna", at=KILL.until + 3.9)
    assert len(_found(evidence)) == 1
    evidence.wait_s = 3.8
    assert not _found(evidence)


def test_a_standby_waits_from_the_moment_of_the_kill_on() -> None:
    at = KILL.since + 4.1
    assert _found(_twice(SQUARE, "anna", "ben", recorded="anna", at=at))
    assert not _found(_twice(SQUARE, "anna", "ben", recorded="anna", at=at, has_standby=True))


@pytest.mark.parametrize(
    ("kind", "whom"),
    [("kill_slave", "anna"), ("cut", "ben"), ("stop_master", "master"), ("kill_child", "anna")],
)
def test_what_is_done_beside_it_is_one(kind: str, whom: str) -> None:
    evidence = _twice(SQUARE, "anna", "ben", recorded="anna")
    evidence.troubles.append(Trouble(kind, whom, 9.0, 10.0))
    assert not _found(evidence)


def test_what_is_done_to_somebody_else_beside_it_is_none() -> None:
    evidence = _twice(SQUARE, "anna", "ben", recorded="anna")
    evidence.troubles.append(Trouble("kill_slave", "cleo", 9.0, 10.0))
    assert len(_found(evidence)) == 1


def test_what_has_raised_is_run_again_by_the_next_script_only() -> None:
    evidence = _twice(REFUSED, "anna", "ben", recorded="anna")
    assert len(_found(evidence)) == 1
    raised = Entry("answered", 1, 1, REFUSED, "anna", 1, tuple(answer_of(REFUSED)))
    evidence.entries = (*evidence.entries[:3], raised, *evidence.entries[3:])
    assert not _found(evidence)
    evidence.is_final = True
    assert len(_found(evidence)) == 1


def test_two_attempts_that_one_master_has_handed_out_may_both_run() -> None:
    evidence = _twice(LONG, "anna", "ben", recorded="anna")
    assert len(_found(evidence)) == 1
    evidence.entries = _twice(LONG, "anna", "ben", recorded="anna ben").entries
    assert not _found(evidence)
    evidence.ran[1] = replace(evidence.ran[1], slave="anna", pid=8)
    evidence.entries = _twice(LONG, "anna", "anna", recorded="anna").entries
    assert len(_found(evidence)) == 1


@pytest.mark.parametrize(
    ("name", "second", "until", "is_excused"),
    [
        (LONG, "ben", 12.0, True),
        (LONG, "anna", 12.0, False),  # no second attempt goes to the same slave
        (SQUARE, "ben", 12.0, False),  # nor is one made of what takes no time
        (LONG, "ben", 9.2, False),  # the first ended when the disk had room
        (LONG, "ben", 8.0, False),
    ],
)
def test_a_full_disk_is_one_for_a_second_attempt_that_it_held_up(
    name: str, second: str, until: float, *, is_excused: bool
) -> None:
    evidence = _twice(name, "anna", second, recorded="anna")
    evidence.troubles = [Trouble("full_disk", "master", 7.0, until)]
    assert (not _found(evidence)) == is_excused
    *before, handed, answered = evidence.entries
    evidence.entries = (*before, answered, handed)  # its master knew better
    assert _found(evidence)
