"""The story of one task: all that was recorded about it, in its order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec

from masterslave.errors import JournalUnusable
from masterslave.journal.facts import (
    RUN_BITS,
    Ended,
    Fact,
    HandedOut,
    Lost,
    Place,
    Retried,
    Settled,
    Submitted,
)
from masterslave.journal.reading import JournalReader
from masterslave.protocol.outcomes import MIXED, RAISED, VALUE, PostMortem, Raised, items_in
from masterslave.stories.finding import numbers_with
from masterslave.stories.recorded import Arguments, arguments_in, function_of
from masterslave.stories.values import describe_item, describe_value
from remoteobj.unreadable import UNREADABLE

__all__ = ["Run", "Step", "Story", "story_of"]


_GOES_ON = ("submitted", "handed out", "lost", "retried")


@dataclass(frozen=True, slots=True)
class Run:
    """The run of its farm in which a task was submitted.

    Attributes:
        began: In seconds since 1970.
    """

    run: int
    began: float
    host: str
    pid: int
    python: str


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that has happened to a task.

    Attributes:
        what: "submitted", "handed out", "lost", "retried" (it raised, and was run again), "done",
            "raised", or how it has ended otherwise.
        at: When, in seconds since 1970; 0: that is not known.
        slave: Which one had it, and its *host*.
        reason: Why it was lost.
        seconds: How long its hand-out took in its process.
        with_others: How many tasks were in that hand-out.
        value: What it is, in words.
        error: What it has raised, in a line; or why it has no value.
        traceback: As it was on the slave.
        post_mortem: Of the process that ran it.
    """

    what: str
    at: float = 0.0
    attempt: int = 0
    slave: str = ""
    host: str = ""
    reason: str = ""
    seconds: float = 0.0
    with_others: int = 1
    value: str = ""
    error: str = ""
    traceback: str = ""
    post_mortem: PostMortem | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """A task, and what has become of it.

    Attributes:
        number: As it is shown where tasks print.
        key: In hexadecimal digits; empty if it has none.
        is_item: It is an item of a map, or of a stream.
        state: How it is: the last of its steps that is an end; else "out" or "waiting".
        arguments: Whether they are kept.
        other_runs: Numbers of the same task in other runs.
    """

    journal: str
    label: str
    number: int
    function: str
    key: str
    is_item: bool
    state: str
    run: Run | None
    steps: tuple[Step, ...]
    arguments: Arguments
    other_runs: tuple[int, ...] = ()


def story_of(reader: JournalReader, number: int) -> Story:
    """Return the story of a task.

    Raises:
        JournalUnusable: It cannot be read.

    Blocks: on the disk; it goes through the whole journal.
    """
    folded = reader.folded
    facts = reader.story(number)
    found = folded.numbers.find(number)
    key = folded.key_of(number) or b""
    run = next((each for each in folded.runs if each.run == number >> RUN_BITS), None)
    steps = tuple(_in_order(_steps(reader, facts, number)))
    ends = [step.what for step in steps if step.what not in _GOES_ON]
    state = ends[-1] if ends else "out" if number in folded.out else "waiting"
    return Story(
        journal=str(reader.path),
        label=reader.label,
        number=number,
        function=function_of(reader, number)[0],
        key=key.hex(),
        is_item=found is not None and found[0].are_items,
        state=state,
        run=None if run is None else Run(run.run, run.at, run.host, run.pid, run.python),
        steps=steps,
        arguments=arguments_in(reader, facts, number),
        other_runs=tuple(one for one in numbers_with(reader, key) if one != number) if key else (),
    )


def _steps(reader: JournalReader, facts: list[Fact], number: int) -> Iterator[Step]:
    for fact in facts:
        match fact:
            case Submitted():
                yield Step("submitted")
            case HandedOut(slave=slave, at=at):
                for task, attempt, count in fact.hand_outs:
                    if task <= number < task + count:
                        name, host = _slave(reader, slave)
                        yield Step("handed out", at, attempt, name, host, with_others=count)
            case Lost(slave=slave, attempt=attempt, reason=reason, at=at):
                name, host = _slave(reader, slave)
                mortem = _post_mortem(reader, fact.post_mortem)
                yield Step("lost", at, attempt, name, host, reason, post_mortem=mortem)
            case Settled():
                yield _settled(reader, fact, number)
            case Retried():
                yield _retried(reader, fact)
            case Ended(why=why, place=place):
                text = _read(reader, place) if place is not None else b""
                raised = _raised(text) if why == "failed" else None
                if raised is not None:
                    yield Step(why, error=_line_of(raised), traceback=raised.traceback)
                else:
                    yield Step(why, error=text.decode(errors="replace"))


def _retried(reader: JournalReader, fact: Retried) -> Step:
    as_settled = Settled(
        fact.task, fact.attempt, 1, fact.skip, fact.kind, fact.place, fact.slave, fact.seconds
    )
    return replace(_settled(reader, as_settled, fact.task), what="retried", at=fact.at)


def _in_order(steps: Iterator[Step]) -> Iterator[Step]:
    """Put what was retried before its next attempt: that may have been recorded first."""
    waiting: list[Step] = []
    for step in steps:
        if step.what == "handed out":
            waiting.append(step)
            continue
        is_retried = step.what == "retried"
        later = [one for one in waiting if is_retried and one.attempt > step.attempt]
        yield from (one for one in waiting if one not in later)
        yield step
        waiting = later
    yield from waiting


def _settled(reader: JournalReader, fact: Settled, number: int) -> Step:
    name, host = _slave(reader, fact.slave)
    at = fact.skip + number - fact.task if fact.skip >= 0 else -1
    kind, payload, value = fact.kind, _read(reader, fact.place), ""
    if kind == MIXED:
        items = items_in(payload)
        if items is None or not 0 <= at < len(items):
            kind, value = VALUE, "something that cannot be read"
        else:
            kind, payload = items[at].kind, items[at].payload
            value = describe_value(payload) if kind == VALUE else ""
    elif kind == VALUE:
        value = describe_value(payload) if at < 0 else describe_item(payload, at)
    step = Step("done", 0.0, fact.attempt, name, host, "", fact.seconds, value=value)
    if kind != RAISED:
        return step
    raised = _raised(payload)
    if raised is None:
        return replace(step, what="raised", error="an exception that cannot be read")
    return replace(
        step,
        what="raised",
        error=_line_of(raised),
        traceback=raised.traceback,
        post_mortem=raised.post_mortem,
    )


def _line_of(raised: Raised) -> str:
    return f"{raised.type_name}: {raised.message}" if raised.message else raised.type_name


def _slave(reader: JournalReader, index: int) -> tuple[str, str]:
    known = reader.folded.slaves.get(index)
    return ("", "") if known is None else (known.name, known.host)


def _read(reader: JournalReader, place: Place) -> bytes:
    try:
        return reader.read(place)
    except JournalUnusable:
        return b""


def _post_mortem(reader: JournalReader, place: Place | None) -> PostMortem | None:
    if place is None:
        return None
    try:
        return msgspec.msgpack.decode(_read(reader, place), type=PostMortem)
    except UNREADABLE:
        return None


def _raised(payload: bytes) -> Raised | None:
    try:
        return msgspec.msgpack.decode(payload, type=Raised)
    except UNREADABLE:
        return None
