"""What the script hands in, as the master sees it: single tasks, and spans of items.

The script's side (``masterslave.farm``) makes them of these classes; the master asks them for what
goes to a slave, and tells them their answers. It does so without its lock, so packing and
unpacking may run any code of the user's.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from masterslave.codeset import NOTHING, CodeSet
from masterslave.protocol.hand_outs import Form
from masterslave.protocol.outcomes import PART, Outcome, OutcomeKind
from masterslave.scheduler import Terms

__all__ = [
    "Answer",
    "Cancelled",
    "Failed",
    "Function",
    "GivenUp",
    "PredecessorFailed",
    "Recorded",
    "Single",
    "Span",
    "Submission",
]


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A function on its way to the slaves.

    Attributes:
        digest: The name that it travels under.
        packed: Pickled, and which code set it wants.
        name: What it is called, for people.
        kind: Its full name: functions of one kind are expected to take alike long.
        is_named: It is a name only, and *packed* says so: a slave has the handler. Its arguments
            travel as packed values.
        code: The modules that travel with it.
        holds: What has to be kept for as long as the function is in use.
    """

    digest: bytes
    packed: bytes
    name: str
    kind: str
    is_named: bool = False
    code: CodeSet = NOTHING
    holds: object = None


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The answer of a task whose hand-outs were lost too often."""

    story: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The answer of a task that was cancelled."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer of a task that cannot be run at all: the error says why."""

    error: Exception


@dataclass(frozen=True, slots=True)
class PredecessorFailed:
    """The answer of a task that was to run after one that has ended without a result.

    Attributes:
        predecessor: That one; it has its answer, or will have it soon.
    """

    predecessor: Single


@dataclass(frozen=True, slots=True)
class Recorded:
    """An answer that an earlier run of the script has had, or was to have.

    Attributes:
        kind: As of an outcome.
        skip: Items of the outcome before this one; -1: it is the outcome of a single task.
        source: The outcome, or what reads its payload from the journal.
    """

    kind: OutcomeKind
    skip: int
    source: Outcome | Callable[[], bytes]

    def payload(self) -> bytes:
        """Return the outcome's payload. Blocks: on the disk."""
        return self.source.payload if isinstance(self.source, Outcome) else self.source()


Answer = Recorded | Outcome | GivenUp | Cancelled | Failed | PredecessorFailed


class _Submission(abc.ABC):
    """Tasks of one function, on the same terms.

    Attributes:
        function: What is called.
        terms: On which terms.
        number: Of the task, or of the first one; the master sets it, -1 before.
        after: Tasks that have to succeed before; until the master has taken it in.
        keys: Of each task, 16 bytes, by which it is known in other runs of the script; empty where
            there is no journal, or it has none.
        is_kept: Its arguments are in the journal since it was submitted.
    """

    function: Function
    terms: Terms
    number: int
    after: tuple[Single, ...] = ()
    keys: bytes = b""
    is_kept: ClassVar[bool] = False

    def will_retry(self, outcome: Outcome, *, data_only: bool) -> frozenset[int]:
        """Return the tasks of this outcome that raised what their terms would have run again."""
        return frozenset()

    def note_told(self, outcome: Outcome) -> None:
        """The task has told this while it runs, a PART or PROGRESS. Called with the lock."""
        if outcome.kind == PART:
            self.note_part(outcome.item, outcome.payload)
        else:
            self.note_progress(outcome.payload)

    @abc.abstractmethod
    def note_part(self, item: int, payload: bytes) -> None:
        """The task has yielded a value while it runs. Called with the lock: it must not wait."""

    @abc.abstractmethod
    def note_progress(self, payload: bytes) -> None:
        """The task has told how far it is. Called with the lock: it must not wait."""


class Single(_Submission):
    """One task.

    Attributes:
        arguments: The pickled ``(args, kwargs)``.
        has_failed: Whether it has an answer that is no value; the master sets it.
    """

    is_span: ClassVar[Literal[False]] = False
    has_failed = False
    arguments: bytes

    @abc.abstractmethod
    def settle(self, answer: Answer, slave: str) -> None:
        """Take the answer; called exactly once, without the master's lock, by any thread."""


class Span(_Submission):
    """Items in a row, numbered from ``number`` on.

    Attributes:
        count: How many items.
        form: How ``pack`` writes them.
        item_bytes: Bytes of the largest item, about.
    """

    is_span: ClassVar[Literal[True]] = True
    count: int
    form: Form
    item_bytes: int

    @abc.abstractmethod
    def pack(self, offset: int, count: int) -> bytes:
        """Return so many items, pickled.

        Raises:
            NotPicklable: One of them cannot be sent.
        """

    @abc.abstractmethod
    def why_not(self, offset: int) -> Exception | None:
        """Return why this item cannot be sent, or None if it can."""

    @abc.abstractmethod
    def settle(self, offset: int, count: int, answer: Answer, skip: int, slave: str) -> None:
        """Take the answer of items; called once for each item, as ``Single.settle``.

        Args:
            offset: The first of them, counted in the span.
            count: How many.
            skip: Items of the outcome before the first of these.
        """


Submission = Single | Span
"""Which of them, ``is_span`` says: it is asked once a task, where isinstance() would be slow."""
