"""``masterslave show LABEL_OR_FILE TASK``: what became of a task, in its order."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from masterslave import Farm
from masterslave.errors import TaskLost
from masterslave.journal import RUN_BITS, Journal
from tests.conftest import eventually
from tests.masterslave.conftest import StartSlave
from tests.masterslave.mortems.commands import masterslave, story_of
from tests.masterslave.mortems.victims import (
    dies,
    exits,
    fails,
    fails_once,
    fails_unless,
    is_killed,
    waits,
)

BASE = 1 << RUN_BITS


@pytest.fixture
def journal(tmp_path: Path, own_machine: Path) -> Path:
    """Where the journal of the farm is; nobody else's farms are seen."""
    return tmp_path / "survey.db"


@pytest.fixture
def farm(journal: Path) -> Iterator[Farm]:
    """A farm that keeps a journal, with one slave."""
    with Farm("survey", local_slaves=1, journal=journal, output="none") as running:
        yield running


def steps(told: dict[str, object]) -> list[str]:
    found = told["steps"]
    assert isinstance(found, list)
    return [step["what"] for step in found]


def test_a_task_that_raises_is_found_by_number_key_and_function(farm: Farm, journal: Path) -> None:
    assert farm.submit(fails, 1).result(20) == 1
    with pytest.raises(ValueError, match="no use"):
        farm.options(key="the third").submit(fails, 3).result(20)
    by_function = story_of("survey", "fails")
    assert by_function["number"] == BASE + 1
    assert steps(by_function) == ["submitted", "handed out", "raised"]
    assert "ValueError: " in by_function["steps"][2]["error"]
    assert "in fails" in by_function["steps"][2]["traceback"]
    assert by_function["arguments"] == "kept"
    for name in ("1", "1:1", str(BASE + 1), "the third", by_function["key"]):
        assert story_of("survey", name) == by_function
    done = story_of(journal, 0)
    assert (done["state"], done["steps"][2]["value"]) == ("done", "1")
    assert done["arguments"].startswith("it has not failed")
    assert done["steps"][1]["at"] > done["run"]["began"]
    farm.shutdown()
    masterslave("invalidate", str(journal), "fails")  # which is a run without tasks
    assert story_of(journal, 1)["number"] == BASE + 1


def test_what_tasks_have_written_is_shown_and_does_nothing(farm: Farm, journal: Path) -> None:
    with pytest.raises(ValueError, match="no use"):
        farm.submit(fails, 3).result(20)
    with pytest.raises(TaskLost):
        farm.options(max_attempts=1).submit(is_killed).result(20)
    for said in (masterslave("show", "survey", "fails"), masterslave("show", "survey", "1")):
        assert all(each.isprintable() or each == "\n" for each in said)
    assert "\\x1b[2J" in masterslave("show", "survey", "fails")
    assert "the last words" in masterslave("show", "survey", "1")


def test_an_int_of_very_many_digits_is_told(farm: Farm, journal: Path) -> None:
    number = farm.submit(pow, 10, 5000).result(timeout=30)
    in_words = f"an int of {number.bit_length()} bits"
    assert in_words in masterslave("show", "survey", "0")
    farm.submit(list, (number, 7)).result(timeout=30)
    assert f"[{in_words}, 7]" in masterslave("show", "survey", "1")


def test_items_of_a_map_are_told_one_by_one(farm: Farm, journal: Path) -> None:
    results = farm.imap_unordered(fails, [1, 2, 3, 4])
    for _ in range(4):
        with contextlib.suppress(ValueError):
            next(results)
    with farm:  # what is under way ends
        pass
    listed = masterslave("show", str(journal))
    assert "1:2   fails     raised" in listed
    assert "1 failed task;" in listed
    told = story_of(journal, 2)
    assert (told["is_item"], told["state"], told["arguments"]) == (True, "raised", "kept")
    told = story_of(journal, 3)
    assert (told["is_item"], told["state"], told["steps"][-1]["value"]) == (True, "done", "4")


@pytest.mark.parametrize(
    ("task", "how"),
    [(is_killed, "SIGKILL"), (exits, "exit code 3"), (dies, "SIGSEGV")],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_each_lost_hand_out_is_told(farm: Farm, journal: Path, task: object, how: str) -> None:
    with pytest.raises(TaskLost):
        farm.options(max_attempts=2).submit(task).result(20)
    told = story_of("survey", 0)
    assert steps(told) == ["submitted", *["handed out", "lost"] * 2, "given up"]
    for attempt, step in enumerate(told["steps"][2::2][:2], 1):
        assert step["attempt"] == attempt
        assert how in step["reason"]
        assert how in step["post_mortem"]["how"]
    assert told["arguments"] == "kept"
    said = masterslave("show", "survey", "0")
    assert "given up after 2 hand-outs that were lost" in said


def test_what_a_lost_slave_had_is_told(
    journal: Path, tmp_path: Path, start_slave: StartSlave
) -> None:
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    with Farm("survey", local_slaves=0, journal=journal) as farm:
        victim = start_slave("survey", "--slots", "1", "--name", "victim")
        future = farm.submit(waits, gate, begun, begun)
        eventually(begun.exists, "it runs")
        victim.send_signal(signal.SIGKILL)
        start_slave("survey", "--slots", "1", "--name", "heir")
        assert future.result(20) == "after all"
    told = story_of(journal, 0)
    assert steps(told) == ["submitted", "handed out", "lost", "handed out", "done"]
    assert [step["slave"] for step in told["steps"][1:]] == ["victim", "victim", "heir", "heir"]
    assert told["steps"][2]["reason"] == "its slave is gone: its connection closed"


def test_a_lost_slave_may_bring_it_to_the_next_master(tmp_path: Path) -> None:
    """As before losses of slaves were written down: it is not handed out again at once."""
    from masterslave.journal import HandedOut, Lost, SlaveKnown, Submitted

    with Journal.open(tmp_path / "j.db", "survey") as journal:
        first = journal.first_number
        journal.record(SlaveKnown(0, "box", "host"))
        journal.record(Submitted(first, 0, bytes(15) + b"\1" + bytes(15) + b"\2"))
        journal.record(HandedOut(0, ((first, 1, 2),)))
        journal.record(Lost(first, 1, 1, 0, "its slave is gone", may_come=True))
        journal.record(Lost(first + 1, 1, 1, 0, "its process died"))
    with Journal.read_only(tmp_path / "j.db") as reader:
        assert [*reader.folded.out] == [first]


def test_what_cannot_be_shown_says_why(journal: Path, tmp_path: Path) -> None:
    assert "no farm 'survey' is running" in masterslave("show", "survey", "1")
    assert "there is no journal" in masterslave("show", str(journal), "1")
    with Farm("survey", local_slaves=0):
        assert "has no journal on this machine" in masterslave("show", "survey", "1")
    with Farm("survey", local_slaves=0, journal=journal):
        assert "has no task 'nothing'" in masterslave("show", "survey", "nothing")
    assert "no task has failed" in masterslave("show", str(journal))
    (tmp_path / "survey").write_text("no journal")
    with contextlib.chdir(tmp_path):  # a label is no file, whatever is here
        assert "no farm 'survey' is running" in (said := masterslave("show", "survey", "1"))
        assert "the file is './survey'" in said
    assert "is a folder: name a file in it" in masterslave("trace", "")
    (tmp_path / "text.txt").write_text("no journal")
    said = masterslave("show", str(tmp_path / "text.txt"))
    assert "text.txt is no journal, but another file: give a path of its own" in said


def test_arguments_of_failed_tasks_outlive_compaction(farm: Farm, journal: Path) -> None:
    for number in range(9):
        farm.submit(fails, number).exception(20)
    with pytest.raises(TaskLost):
        farm.options(max_attempts=1).submit(exits).result(20)
    with farm:
        pass
    before = {n: story_of(journal, n) for n in (0, 3, 6, 9)}
    Journal.compact(journal, "survey")
    for number, told in before.items():
        after = story_of(journal, number)
        assert after["arguments"] == told["arguments"] == "kept"
        assert after["steps"][-1] == told["steps"][-1]
        losses = [step for step in told["steps"] if step["what"] == "lost"]
        assert [step for step in after["steps"] if step["what"] == "lost"] == losses


def test_what_was_raised_before_is_told(farm: Farm, journal: Path, tmp_path: Path) -> None:
    again = farm.options(retries=2)
    again.submit(fails_once, tmp_path / "one").result(20)
    assert list(again.map(fails_once, [tmp_path / "two", tmp_path / "one"])) == [None] * 2
    for number in (0, 1):
        told = story_of("survey", number)
        assert steps(told) == ["submitted", "handed out", "retried", "handed out", "done"]
        retried = told["steps"][2]
        assert retried["attempt"] == 1
        assert retried["error"].startswith("OSError: ")
        assert "in fails_once" in retried["traceback"]
    assert steps(story_of("survey", 2)) == ["submitted", "handed out", "done"]
    with pytest.raises(ValueError, match="no use"):
        again.submit(fails, 3).result(20)
    told = story_of("survey", 3)
    assert steps(told)[1:] == ["handed out", "retried"] * 2 + ["handed out", "raised"]
    assert "and was run again: ValueError" in masterslave("show", "survey", "3")


def test_a_failed_task_that_succeeds_later_is_listed_no_more(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    for _ in range(2):
        with Farm("survey", local_slaves=1, journal=tmp_path / "j.db") as farm:
            farm.submit(fails_unless, flag).exception(20)
        flag.touch()
    assert "no task has failed" in masterslave("show", str(tmp_path / "j.db"))
    told = story_of(tmp_path / "j.db", "1:0")
    assert told["other_runs"] == [2 << RUN_BITS]
