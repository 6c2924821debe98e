"""The checker finds what is wrong, and nothing in what is right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.checker import complaints
from tests.chaos.evidence import Copy, Entry, Evidence, Ran, Taken, Told, Trouble
from tests.chaos.script import answer_of, names_of

VALUE = "0.square.3"
RAISED = "0.refuse.0"


@pytest.fixture
def evidence() -> Evidence:
    """Of a run in which one round was done by one slave, and nothing happened."""
    right = Evidence(wanted=names_of(0))
    entries = [Entry("begun", 1)]
    for number, name in enumerate(names_of(0)):
        answer = tuple(answer_of(name))
        about = Entry("submitted", 1, number, name)
        entries.append(about)
        if ".after." not in name:
            entries.append(replace(about, what="handed out", slave="anna", attempt=1))
            right.ran.append(Ran(name, "anna", 7, float(number), number + 0.5))
        entries.append(replace(about, what="answered", slave="anna", attempt=1, answer=answer))
        right.told.append(Told(name, answer, 0, number + 0.7))
    right.entries = tuple(entries)
    right.copies.append(Copy(0.9, right.entries[:4]))
    return right


def _change(evidence: Evidence, what: str, name: str, **changes: object) -> None:
    evidence.entries = tuple(
        replace(one, **changes) if (one.what, one.name) == (what, name) else one
        for one in evidence.entries
    )


def _add(evidence: Evidence, what: str, name: str, **more: object) -> None:
    like = next(one for one in evidence.entries if one.name == name)
    answer = tuple(answer_of(name)) if what == "answered" else ()
    entry = replace(like, what=what, slave="ben", attempt=2, answer=answer)
    evidence.entries = (*evidence.entries, replace(entry, **more))


def _ran_again(evidence: Evidence, slave: str) -> Ran:
    _add(evidence, "handed out", RAISED, slave=slave)
    first = next(one for one in evidence.ran if one.name == RAISED)
    again = replace(first, slave=slave, pid=8, began=first.began + 20, ended=first.began + 21)
    evidence.ran.append(again)
    return first


def test_nothing_is_wrong_with_what_is_right(evidence: Evidence) -> None:
    assert complaints(evidence) == []


def test_an_answer_that_is_lost(evidence: Evidence) -> None:
    evidence.entries = tuple(
        one for one in evidence.entries if (one.what, one.name) != ("answered", VALUE)
    )
    lost, told = complaints(evidence)
    assert lost == f"{VALUE} has no answer in the journal"
    assert f"told ('value', '9') of {VALUE}, and the journal does not know that in the end" in told


def test_an_answer_that_was_told_before_it_was_in_the_journal(evidence: Evidence) -> None:
    evidence.copies = [Copy(0.9, evidence.entries[:3])]
    (found,) = complaints(evidence)
    assert "the script was told ('value', '0') of 0.square.0, and the journal did not kn" in found


def test_a_journal_that_was_changed(evidence: Evidence) -> None:
    evidence.copies[0] = Copy(0.9, (*evidence.entries[:4], Entry("lost", 1, 3, VALUE)))
    (found,) = complaints(evidence)
    assert "lost 1 entries of its copy" in found


@pytest.mark.parametrize(("name", "answer"), [(VALUE, ("value", "8")), (RAISED, ("TaskLost", ""))])
def test_a_wrong_answer(evidence: Evidence, name: str, answer: tuple[str, ...]) -> None:
    _change(evidence, "answered", name, answer=answer)
    assert f"{name} is {answer} in the journal, not {answer_of(name)}" in complaints(evidence)


def test_a_script_that_is_told_something_else(evidence: Evidence) -> None:
    evidence.told[3] = replace(evidence.told[3], answer=("value", "8"))
    assert "the script was told ('value', '8') of 0.square.3, not" in complaints(evidence)[0]


def test_a_script_that_is_told_twice_or_not_at_all(evidence: Evidence) -> None:
    evidence.told[4] = evidence.told[3]
    assert complaints(evidence) == [
        "the script was not told of 0.square.4",
        f"run 0 of the script was told of {VALUE} 2 times",
    ]


def test_two_answers_in_one_run(evidence: Evidence) -> None:
    _add(evidence, "answered", VALUE)
    assert complaints(evidence) == [f"{VALUE} was answered 2 times in run 1"]


def test_a_finished_task_that_is_done_again_by_the_next_run(evidence: Evidence) -> None:
    _add(evidence, "handed out", VALUE, run=2, number=100)
    _add(evidence, "answered", VALUE, run=2, number=100)
    assert complaints(evidence) == [
        f"{VALUE} was handed out to ben (run 2) after it had a value",
        f"{VALUE} was answered in run 2, and had a value from 1",
    ]


def test_what_has_raised_is_run_again_by_the_next_run(evidence: Evidence) -> None:
    _add(evidence, "handed out", RAISED, run=2, number=100)
    _add(evidence, "answered", RAISED, run=2, number=100)
    assert complaints(evidence) == []


@pytest.mark.parametrize("slave", ["anna", "ben"])
def test_a_task_that_ran_twice_for_no_reason(evidence: Evidence, slave: str) -> None:
    _ran_again(evidence, slave)
    (found,) = complaints(evidence)
    assert f"{RAISED} ran on anna from" in found
    assert f"and on {slave} from" in found


@pytest.mark.parametrize("kind", ["slow", "clock_back", "full_disk", "kill_nameserver"])
def test_what_is_no_reason_for_it(evidence: Evidence, kind: str) -> None:
    first = _ran_again(evidence, "ben")
    evidence.troubles.append(Trouble(kind, "anna", first.began, first.began + 1))
    assert len(complaints(evidence)) == 1


@pytest.mark.parametrize("whom", ["anna", "ben", "master"])
def test_what_is_one(evidence: Evidence, whom: str) -> None:
    first = _ran_again(evidence, "ben")
    evidence.troubles.append(Trouble("stop_slave", whom, first.began, first.began + 1))
    assert complaints(evidence) == []


def test_a_trouble_of_somebody_else_or_of_long_ago_is_none(evidence: Evidence) -> None:
    first = _ran_again(evidence, "ben")
    evidence.troubles += [
        Trouble("kill_slave", "cleo", first.began, first.began + 1),
        Trouble("kill_slave", "anna", first.began - 9, first.began - 8),
    ]
    assert len(complaints(evidence)) == 1


def test_a_slave_that_runs_what_nobody_has_given_it(evidence: Evidence) -> None:
    place = next(at for at, one in enumerate(evidence.ran) if one.name == VALUE)
    evidence.ran[place] = replace(evidence.ran[place], slave="ben")
    assert complaints(evidence) == [f"{VALUE} ran on ben, and had not been handed out to it"]


def test_a_task_that_nothing_has_ended(evidence: Evidence) -> None:
    place = next(at for at, one in enumerate(evidence.ran) if one.name == VALUE)
    evidence.ran[place] = replace(evidence.ran[place], ended=None)
    (found,) = complaints(evidence)
    assert "nothing ended it" in found


def test_what_a_service_has_taken_and_does_not_know(evidence: Evidence) -> None:
    evidence.taken = [Taken(30, 0, 5.0)]
    (found,) = complaints(evidence)
    assert found.startswith("30 tasks were taken (27 are in the journal), and the journal does not")


def test_what_has_raised_is_not_run_again_by_a_service(evidence: Evidence) -> None:
    evidence.is_final = True
    _add(evidence, "handed out", RAISED, run=2, number=100)
    assert complaints(evidence) == [f"{RAISED} was handed out to ben (run 2) after it had a value"]


def test_a_script_that_comes_back_to_a_ticket(evidence: Evidence) -> None:
    evidence.told[3] = replace(evidence.told[3], name="#3")
    evidence.by_serial = {"#3": VALUE}
    assert complaints(evidence) == []
    evidence.by_serial = {}
    assert complaints(evidence)[0] == "the script was told of #3, which is not in the journal"
