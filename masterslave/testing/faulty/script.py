"""The script of a played farm: tasks whose answers are known, and what the master asks of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from random import Random

import msgspec
from msgspec import Struct

from masterslave.journal.facts import KEY_BYTES
from masterslave.master.submission import (
    Answer,
    Function,
    GivenUp,
    Recorded,
    Single,
    Span,
    Submission,
)
from masterslave.protocol.functions import hash_of
from masterslave.protocol.hand_outs import EACH
from masterslave.protocol.outcomes import MIXED, RAISED, VALUE, ItemOutcome, Outcome, items_in
from masterslave.scheduler import Terms

__all__ = ["GIVEN_UP", "Played", "Script", "Tell", "outcome_of", "true_answer"]

GIVEN_UP = b"given up"

_encode = msgspec.msgpack.encode

Tell = Callable[[int, bytes], None]
"""Called with the index of a task and its answer."""


class Played(Struct, frozen=True):
    """A task.

    Attributes:
        kind: "value", "raises", or "kills": its process, whenever it is run.
        part: Number of what it is submitted with, as one span if that is one.
    """

    index: int
    key: bytes
    kind: str
    seconds: float
    owner: str
    part: int
    at_s: float
    is_item: bool


def true_answer(task: Played) -> bytes:
    """Return what a task has to be answered with."""
    if task.kind == "kills":
        return GIVEN_UP
    return (b"raised %d" if task.kind == "raises" else b"value %d") % task.index


def outcome_of(tasks: Sequence[Played], attempt: int, number: int, seconds: float) -> Outcome:
    """Return what comes of a hand-out of these tasks, none of which kills its process."""
    raising = [task for task in tasks if task.kind == "raises"]
    if not tasks[0].is_item:
        kind = RAISED if raising else VALUE
        return Outcome(number, attempt, 1, kind, true_answer(tasks[0]), seconds)
    if raising:
        kinds = [RAISED if one.kind == "raises" else VALUE for one in tasks]
        items = tuple(map(ItemOutcome, kinds, map(true_answer, tasks)))
        return Outcome(number, attempt, len(tasks), MIXED, _encode(items), seconds)
    return Outcome(
        number, attempt, len(tasks), VALUE, _encode([true_answer(one) for one in tasks]), seconds
    )


def _answer_in(answer: Answer, at: int, *, is_item: bool) -> bytes:
    """Return an answer as bytes; of an outcome of items, that of the one with this place."""
    if isinstance(answer, GivenUp):
        return GIVEN_UP
    if isinstance(answer, Recorded):
        payload, kind, at = answer.payload(), answer.kind, answer.skip
        is_item = answer.skip >= 0
    elif isinstance(answer, Outcome):
        payload, kind = answer.payload, answer.kind
    else:
        return repr(answer).encode()
    return read_payload(payload, kind, at if is_item else -1)


def read_payload(payload: bytes, kind: int, skip: int) -> bytes:
    """Return the answer of one task that a payload holds."""
    if kind == MIXED:
        items = items_in(payload)
        return items[skip].payload if items is not None else b"unreadable"
    if skip < 0 or kind == RAISED:
        return payload
    return msgspec.msgpack.decode(payload, type=list[bytes])[skip]


class PlayedSingle(Single):
    """One task."""

    def __init__(self, task: Played, function: Function, terms: Terms, tell: Tell) -> None:
        self.function, self.terms, self.number = function, terms, -1
        self.keys = task.key
        self.arguments = _encode([task.index])
        self._task, self._tell = task, tell

    def settle(self, answer: Answer, slave: str) -> None:
        """See Single."""
        self._tell(self._task.index, _answer_in(answer, 0, is_item=False))

    def note_part(self, item: int, payload: bytes) -> None:
        """No task yields anything."""

    def note_progress(self, payload: bytes) -> None:
        """No task tells how far it is."""


class PlayedSpan(Span):
    """Items in a row."""

    form = EACH
    item_bytes = 4

    def __init__(
        self, tasks: Sequence[Played], function: Function, terms: Terms, tell: Tell
    ) -> None:
        self.function, self.terms, self.number = function, terms, -1
        self.count = len(tasks)
        self.keys = b"".join(task.key for task in tasks)
        self._tasks, self._tell = tasks, tell

    def pack(self, offset: int, count: int) -> bytes:
        """See Span."""
        return _encode([task.index for task in self._tasks[offset : offset + count]])

    def why_not(self, offset: int) -> Exception | None:
        """See Span."""
        return None

    def settle(self, offset: int, count: int, answer: Answer, skip: int, slave: str) -> None:
        """See Span."""
        for at in range(count):
            told = _answer_in(answer, skip + at, is_item=True)
            self._tell(self._tasks[offset + at].index, told)

    def note_part(self, item: int, payload: bytes) -> None:
        """No task yields anything."""

    def note_progress(self, payload: bytes) -> None:
        """No task tells how far it is."""


class Script:
    """All tasks, drawn from a seed.

    Args:
        tasks: How many.
        seconds: In what time they are submitted.
    """

    def __init__(self, random: Random, tasks: int, seconds: float) -> None:
        self.tasks: list[Played] = []
        self.parts: list[list[Played]] = []
        self._functions = [
            Function(hash_of(b"f%d" % number), b"f%d" % number, f"f{number}", f"f{number}")
            for number in range(3)
        ]
        owners = random.choice((("",), ("one", "other"), ("one", "other", "third")))
        mean_s = random.choice((0.05, 0.3, 1.0))
        kills, raises = random.choice((0.0, 0.03)), random.choice((0.0, 0.1))
        while len(self.tasks) < tasks:
            count = min(tasks - len(self.tasks), random.choice((1, 3, 10, 20)))
            at_s, is_span = random.uniform(0.0, seconds), count > 1 and random.random() < 0.5
            owner = random.choice(owners)
            part: list[Played] = []
            for _ in range(count):
                draw, index = random.random(), len(self.tasks)
                kind = "kills" if draw < kills else "raises" if draw < kills + raises else "value"
                key = blake2b(b"%d" % index, digest_size=KEY_BYTES).digest()
                lasts_s = random.expovariate(1 / mean_s)
                number = len(self.parts)
                task = Played(index, key, kind, lasts_s, owner, number, at_s, is_span)
                part.append(task)
                self.tasks.append(task)
            self.parts.append(part)
        self.by_key = {task.key: task for task in self.tasks}

    def submissions(self, tasks: Sequence[Played], tell: Tell) -> list[Submission]:
        """Return these tasks of one part, as they are submitted."""
        part = tasks[0].part
        function = self._functions[part % len(self._functions)]
        terms = Terms(part % len(self._functions), owner=tasks[0].owner, repeatable=part % 2 == 0)
        if tasks[0].is_item:
            return [PlayedSpan(tasks, function, terms, tell)]
        return [PlayedSingle(task, function, terms, tell) for task in tasks]
