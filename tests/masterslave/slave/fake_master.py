"""A master that does what a test says, for slaves to be tried against."""

from __future__ import annotations

import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import cloudpickle
import msgspec

from masterslave.lent import Lender
from masterslave.packed import unpack_value
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.functions import KnownFunctions, hash_of
from masterslave.protocol.hand_outs import CALL, Form, Stop, WireTask
from masterslave.protocol.joining import DOOR_ID, Introduction, Welcome
from masterslave.protocol.outcomes import (
    MIXED,
    PART,
    PROGRESS,
    RAISED,
    VALUE,
    ItemOutcome,
    Outcome,
    Raised,
)
from masterslave.protocol.verbs import Ask, Delivery, Instructions
from remoteobj import URI, Daemon, expose

__all__ = ["FakeMaster", "value_of"]

_BATCH_BYTES = 2 * 1024 * 1024
_BATCH_TASKS = 20_000
_LENT_BYTES = 64 * 1024


class FakeMaster:
    """Keeps what it is to say until slaves ask, and what they have said.

    It repeats a batch until it is acknowledged, and takes each delivery once, as a master does.

    Args:
        welcome: Whatever of ``Welcome`` is not as usual.
        lends: Whether large arguments are lent.
        where: Keywords of its ``Daemon``.
        first: Number of its first task, but one.
    """

    def __init__(
        self,
        *,
        heartbeat_s: float = 0.5,
        lends: bool = False,
        where: dict[str, Any] | None = None,
        first: int = 0,
        **welcome: Any,
    ) -> None:
        self.welcome = Welcome(heartbeat_s=heartbeat_s, **welcome)
        self.changed = threading.Condition()
        self.introductions: list[Introduction] = []
        self.asks: list[Ask] = []
        self.outcomes: list[Outcome] = []
        self.settled: dict[int, Outcome] = {}
        """By task, the first outcome that ends it."""
        self.has_left = False
        self.joined = 0
        self.deliveries = 0
        self._open: dict[int, WireTask] = {}
        self._references: dict[int, bytes] = {}
        self._functions: dict[bytes, bytes] = {}
        self._known = KnownFunctions()
        self._queue: deque[WireTask] = deque()
        self._stops: list[Stop] = []
        self._recalls: list[Stop] = []
        self._batch = 0
        self._sent: Instructions | None = None
        self._taken = 0
        self._polls = 0
        self._ended = False
        self._tasks = first
        self.lender = Lender() if lends else None
        self._daemon = Daemon(**(where or {}))
        self.uri: URI = self._daemon.register(self, DOOR_ID)
        self._daemon.start()

    # What a test says.

    def submit(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
        """Have a call made; returns the task's number."""
        return self.submit_many(function, [pickle.dumps((args, kwargs))])[0]

    def submit_span(self, function: Callable[..., Any], items: list[Any], form: Form) -> int:
        """Have a function called for each item."""
        return self.submit_many(function, [pickle.dumps(items)], form, len(items))[0]

    def submit_many(
        self,
        function: Callable[..., Any],
        arguments: Iterable[bytes],
        form: Form = CALL,
        count: int = 1,
    ) -> list[int]:
        """Hand out calls with packed arguments."""
        pickled = cloudpickle.dumps(function)
        digest = hash_of(pickled)
        with self.changed:
            self._functions[digest] = pickled
            numbers = []
            for each in arguments:
                self._tasks += 1
                task = WireTask(self._tasks, 1, count, form, digest, each)
                self._queue.append(task)
                self._open[task.task] = task
                numbers.append(task.task)
            self.changed.notify_all()
        return numbers

    def stop(self, task: int, attempt: int = 1) -> None:
        """Nobody waits for it any more."""
        with self.changed:
            self._stops.append(Stop(task, attempt))
            self.changed.notify_all()

    def recall(self, *tasks: int) -> None:
        """Have these given back, unless they were started."""
        with self.changed:
            self._recalls += [Stop(task, 1) for task in tasks]
            self.changed.notify_all()

    def is_taken_in(self) -> bool:
        """Tell whether the slave has acknowledged all that there was to say."""
        with self.changed:
            return not (self._queue or self._stops or self._recalls or self._sent)

    def end(self) -> None:
        """The farm is shut down."""
        with self.changed:
            self._ended = True
            self.changed.notify_all()

    def forget(self) -> None:
        """Know the slave no longer; what is open is handed out again."""
        with self.changed:
            self._forget()
            self.joined += 1000
            self.changed.notify_all()

    def _forget(self) -> None:
        self._batch, self._sent, self._taken = 0, None, 0
        self._known = KnownFunctions()
        self._queue = deque(self._open.values())

    def die(self) -> None:
        """Serve no longer, without a word."""
        self._daemon.close()

    def close(self) -> None:
        self.end()
        self._daemon.close()
        if self.lender is not None:
            self.lender.close()

    def wait_for(self, *tasks: int, timeout_s: float = 20.0) -> list[Outcome]:
        """Wait until these have ended, and return how."""
        with self.changed:
            done = self.changed.wait_for(
                lambda: all(task in self.settled for task in tasks), timeout_s
            )
            missing = [task for task in tasks if task not in self.settled]
            assert done, f"no outcome of {missing[:10]} within {timeout_s} s"
            return [self.settled[task] for task in tasks]

    # What slaves call.

    @property
    def _slave(self) -> str:
        return f"slave#{self.joined}"

    @expose
    def join(self, message: bytes) -> bytes:
        with self.changed:
            self.introductions.append(decode(message, Introduction))
            self.joined += 1
            self._forget()
            return encode(msgspec.structs.replace(self.welcome, slave=self._slave))

    @expose
    def next(self, message: bytes) -> bytes:
        ask = decode(message, Ask)
        deadline = time.monotonic() + self.welcome.heartbeat_s
        with self.changed:
            if ask.slave != self._slave:
                return encode(Instructions(unknown=True))
            self.asks.append(ask)
            self._take_all(ask.sequence, ask.outcomes)
            self._polls += 1
            number = self._polls
            self.changed.notify_all()
            self._acknowledge(ask.acknowledged)
            self.changed.wait_for(
                lambda: (
                    self._sent
                    or self._queue
                    or self._stops
                    or self._recalls
                    or self._ended
                    or self.has_left
                    or ask.slave != self._slave
                    or number != self._polls
                ),
                max(0.0, deadline - time.monotonic()),
            )
            if ask.slave != self._slave or self.has_left:
                return encode(Instructions(unknown=True))
            if number != self._polls:
                return encode(Instructions())
            if self._sent is None:
                self._sent = self._make_batch(bool(ask.slots))
            return encode(
                msgspec.structs.replace(self._sent or Instructions(), delivered=self._taken)
            )

    def _make_batch(self, with_tasks: bool) -> Instructions | None:
        if self._ended:
            return Instructions(ended=True)
        tasks = self._take_some() if with_tasks else []
        if not (tasks or self._stops or self._recalls):
            return None
        new = {}
        for task in tasks:
            if task.function not in self._known:
                new[task.function] = self._functions[task.function]
            self._known.use(task.function, len(self._functions[task.function]))
        self._batch += 1
        made = Instructions(
            self._batch, tuple(tasks), new, tuple(self._stops), tuple(self._recalls)
        )
        self._stops, self._recalls = [], []
        return made

    def _take_some(self) -> list[WireTask]:
        taken: list[WireTask] = []
        size = 0
        while self._queue and size < _BATCH_BYTES and len(taken) < _BATCH_TASKS:
            task = self._queue.popleft()
            if self.lender is not None and len(task.arguments) > _LENT_BYTES:
                reference = self.lender.lend(task.arguments)
                if reference is not None:
                    self._references[task.task] = reference
                    task = msgspec.structs.replace(task, arguments=reference)
            taken.append(task)
            size += len(task.arguments)
        return taken

    def _acknowledge(self, batch: int) -> None:
        if self._sent is not None and not self._sent.ended and batch >= self._sent.batch:
            self._sent = None

    @expose
    def deliver(self, message: bytes) -> bytes:
        delivery = decode(message, Delivery)
        with self.changed:
            if delivery.slave != self._slave or (self.has_left and not delivery.leaving):
                return encode(Instructions(unknown=True))
            self._acknowledge(delivery.acknowledged)
            self.deliveries += 1
            self._take_all(delivery.sequence, delivery.outcomes)
            self.has_left = self.has_left or delivery.leaving
            self.changed.notify_all()
            return encode(Instructions(delivered=delivery.sequence))

    def _take_all(self, sequence: int, outcomes: tuple[Outcome, ...]) -> None:
        new = sequence - self._taken
        if new > 0:
            for outcome in outcomes[-new:]:
                self._take(outcome)
        self._taken = max(self._taken, sequence)

    def _take(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if outcome.kind not in (PART, PROGRESS) and outcome.task in self._references:
            assert self.lender is not None
            self.lender.take_back(self._references.pop(outcome.task))
        if outcome.kind not in (PART, PROGRESS) and self._open.pop(outcome.task, None):
            self.settled[outcome.task] = outcome


def value_of(outcome: Outcome) -> Any:
    """Return a hand-out's value; of a span in which items raised, a list with the errors in it."""
    if outcome.kind == VALUE:
        return unpack_value(outcome.payload)
    if outcome.kind == MIXED:
        items = msgspec.msgpack.decode(outcome.payload, type=list[ItemOutcome])
        return [
            unpack_value(item.payload) if item.kind == VALUE else raised_of(item.payload)
            for item in items
        ]
    assert outcome.kind == RAISED, outcome
    return raised_of(outcome.payload)


def raised_of(payload: bytes) -> Raised:
    """Return what was raised."""
    return msgspec.msgpack.decode(payload, type=Raised)
