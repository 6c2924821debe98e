"""What is written down of losses, fact by fact."""

from __future__ import annotations

from pathlib import Path

from masterslave.journal import (
    NO_PLACE,
    RUN_BITS,
    ArgumentsKnown,
    Fact,
    Folded,
    HandedOut,
    Journal,
    Lost,
    Place,
    Retried,
    Settled,
    Submitted,
    needed,
)
from masterslave.journal.fold import Out
from masterslave.journal.tickets import (
    Sent,
    TicketMade,
    key_of,
    note_forgotten,
    note_made,
    note_numbered,
    note_sent,
)
from masterslave.master import recording
from masterslave.master.answers import Answers
from masterslave.master.book import TaskBook
from masterslave.master.inherited import Inherited
from masterslave.master.recording import Recording
from masterslave.master.seats import Seat
from masterslave.protocol.encoding import encode
from masterslave.protocol.joining import Introduction
from masterslave.protocol.outcomes import LOST, Outcome, PostMortem
from masterslave.scheduler import (
    DismissSlave,
    Feeding,
    HandOut,
    Held,
    Scheduler,
    SlaveJoined,
    TasksSubmitted,
    Terms,
    TimePassed,
)
from remoteobj import THIS_MACHINE

HELD = [Held(HandOut(0, 1), is_started=True), Held(HandOut(1, 1), is_started=False)]


def written(folder: Path, kind: type[Fact]) -> list[Fact]:
    with Journal.read_only(folder / "j.db") as reader:
        return [fact for fact in reader.facts() if type(fact) is kind]


def test_who_is_dismissed_is_said_to_have_what_it_had() -> None:
    scheduler = Scheduler(silence_s=5.0, feeding=Feeding(feed_ahead_s=0.05))
    for _ in range(10):
        scheduler.state.estimates.note(1, [0.001])
    scheduler.handle(SlaveJoined("a", 1), 0.0)
    scheduler.handle(TasksSubmitted((0, 1), Terms(1)), 0.0)
    assert scheduler.state.held_by("a") == HELD
    assert scheduler.state.held_by("b") == []
    orders = scheduler.handle(TimePassed(), 6.0)
    (dismissal,) = (order for order in orders if isinstance(order, DismissSlave))
    assert dismissal.held == HELD


def test_what_a_slave_had_not_begun_with_is_told_apart(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j.db", "survey") as journal:
        Recording(journal).note_slave_lost("box", HELD, "not heard of for 6.0 s")
    begun, not_begun = written(tmp_path, Lost)
    assert isinstance(begun, Lost)
    assert isinstance(not_begun, Lost)
    assert begun.reason == "its slave is gone: not heard of for 6.0 s"
    assert not_begun.reason.startswith("its slave is gone, and had not begun with it: ")
    assert begun.may_come
    assert not_begun.may_come


def test_of_tasks_that_were_handed_out_together_one_is_to_blame(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j.db", "survey") as journal:
        Recording(journal).note_lost("box", HandOut(10, 2, 5), "killed", b"words", 12)
        Recording(journal).note_lost("box", HandOut(20, 1, 3), "killed", b"words", -1)
    lost = [fact for fact in written(tmp_path, Lost) if isinstance(fact, Lost)]
    assert [(fact.task, fact.count, fact.reason) for fact in lost] == [
        (12, 1, "killed"),
        (10, 2, "its process died of task 12, which was handed out with it"),
        (13, 2, "its process died of task 12, which was handed out with it"),
        (20, 3, "killed"),
    ]
    assert [fact.post_mortem is None for fact in lost] == [False, True, True, False]


def test_arguments_that_are_too_large_are_not_kept(tmp_path: Path) -> None:
    most = recording._MOST_BYTES
    with Journal.open(tmp_path / "j.db", "survey") as journal:
        notes = Recording(journal)
        notes.note_arguments(1, 0, bytes(most + 1))
        notes._left_bytes = 100
        notes.note_arguments(2, 0, bytes(80))
        notes.note_arguments(3, 0, bytes(80))
    known = [fact for fact in written(tmp_path, ArgumentsKnown) if isinstance(fact, ArgumentsKnown)]
    assert [(fact.task, fact.place == NO_PLACE) for fact in known] == [
        (1, True),
        (2, False),
        (3, True),
    ]
    assert known[0].why_not == "they take 16 MiB, at most 16 are kept"
    assert "failed before it in its run take 256 MiB" in known[2].why_not


def test_what_a_slave_says_of_an_earlier_run_is_written_down(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j.db", "survey") as journal:
        notes = Recording(journal)
        answers = Answers(TaskBook(notes.first), notes, data_only=False)
        inherited = Inherited({7: Out(bytes(16), 2, 0, 0)}, answers, notes, until=0.0)
        introduction = Introduction(1, "box", "host", 1, 1, (3, 11))
        seat = Seat("box#1", "token", introduction, THIS_MACHINE)
        assert inherited.take(seat, Outcome(7, 2, 1, LOST, encode(PostMortem("killed")), item=0))
    (lost,) = written(tmp_path, Lost)
    assert isinstance(lost, Lost)
    assert (lost.task, lost.attempt, lost.reason, lost.may_come) == (7, 2, "killed", False)


def test_an_attempt_that_is_retried_is_out_no_more() -> None:
    first, place = 1 << RUN_BITS, Place(1, 0, 9)
    state = Folded()
    state.take([Submitted(first, 0, bytes(15) + b"\1"), HandedOut(4, ((first, 1, 1),))])
    assert [*state.out] == [first]
    state.take([Retried(first, 1, -1, 1, place, 4, 0.1, 1.0)])
    assert not state.out


def test_post_mortems_of_tasks_that_have_a_value_are_kept_for_a_while() -> None:
    first, place, most = 1 << RUN_BITS, Place(1, 0, 9), needed._RECENT_LOSSES
    facts: list[Fact] = []
    for number in range(first, first + most + 2):
        facts.append(Submitted(number, 0, number.to_bytes(16, "big")))
        facts.append(Lost(number, 1, 1, 0, "killed", place))
    facts += [Settled(number, 2, 1, -1, 0, place) for number in (first + 1, first + most)]
    state = Folded()
    state.take(facts)
    rule = needed.Needed(state)
    kept = [part.task for fact in facts for part in rule.of(fact) if isinstance(part, Lost)]
    assert kept == [first, *range(first + 2, first + most + 2)], (
        "the second is old, and has a value"
    )


def test_post_mortems_of_a_forgotten_ticket_are_gone() -> None:
    first, place = 1 << RUN_BITS, Place(1, 0, 9)
    facts: list[Fact] = [
        note_made(TicketMade(0, "lab-1", "script.py", "host", 1, 1.0)),
        note_sent(Sent(0, 0, 1, b"digest", b"terms", 0)),
        note_numbered(0, 0, first, 1),
        Submitted(first, 0, key_of("lab-1", 0), (place,)),
        Lost(first, 1, 1, 0, "killed", place),
    ]

    def kept() -> set[type[Fact]]:
        state = Folded()
        state.take(facts)
        rule = needed.Needed(state)
        return {type(part) for fact in facts for part in rule.of(fact)} & {Lost, Submitted}

    assert kept() == {Lost, Submitted}
    facts.append(note_forgotten(0))
    assert kept() == set()
