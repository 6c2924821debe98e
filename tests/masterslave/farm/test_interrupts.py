"""Streams that are interrupted, or whose farm is closed: results come first, each once."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterable
from types import FrameType
from typing import Any

import pytest

from masterslave import Farm, FarmClosed, NotPicklable
from masterslave.master.interrupts import Interrupts
from tests.conftest import eventually
from tests.masterslave.squares import Squares, ordered_squares, squares

SQUARES = [number * number for number in range(20)]


def rest_of(stream: Iterable[Any]) -> list[Any]:
    return [each[1] if isinstance(each, tuple) else each for each in stream]


class Interrupting:
    """Items; ``next()`` raises at some of them, once."""

    def __init__(self, error: type[BaseException], at: set[int]) -> None:
        self.error, self.at, self.number = error, at, 0

    def __iter__(self) -> Interrupting:
        return self

    def __next__(self) -> int:
        if self.number in self.at:
            self.at.discard(self.number)
            raise self.error
        if self.number == 20:
            raise StopIteration
        self.number += 1
        return self.number - 1


@pytest.mark.parametrize("make", [squares, ordered_squares])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_items_that_interrupt_cost_none(make: Any, error: type[BaseException]) -> None:
    stream = make(Interrupting(error, {0, 3, 7, 20}), limit=8)
    seen: list[Any] = []
    for _ in range(4):
        with pytest.raises(error):
            seen.extend(iter(stream.__next__, None))
    assert rest_of([*seen, *stream]) == SQUARES


@pytest.mark.parametrize("make", [squares, ordered_squares])
@pytest.mark.parametrize("is_taken", [False, True])
def test_a_submit_that_is_interrupted_costs_none(make: Any, is_taken: bool) -> None:
    sink = Squares()
    stream = make(range(20), limit=80, sink=sink)
    sink.error, sink.takes_before_it_raises = KeyboardInterrupt(), is_taken
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    assert rest_of(stream) == SQUARES
    assert len(sink.taken) == 1


class Touchy(int):
    """An item whose pickling is interrupted the first time."""

    interrupts = 1

    def __reduce__(self) -> Any:
        if Touchy.interrupts:
            Touchy.interrupts -= 1
            raise KeyboardInterrupt
        return int, (int(self),)


def test_a_span_whose_making_is_interrupted_costs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Touchy, "interrupts", 1)
    stream = squares([Touchy(3), 2])
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    assert rest_of(stream) == [9, 4]


def test_a_stream_that_was_interrupted_is_closed_as_any_other() -> None:
    sink = Squares(at_once=False)
    stream = squares(range(20), sink=sink)
    sink.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    stream.close()
    assert [span.count for span in sink.dropped] == [20]
    assert list(stream) == []


def test_ctrl_c_while_it_waits_costs_nothing() -> None:
    sink = Squares(at_once=False)
    stream = ordered_squares(range(20), sink=sink)

    def interrupt() -> None:
        eventually(lambda: stream._arrivals.waiters._wakes, "the main thread waits")
        os.kill(os.getpid(), signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    interrupting.join()
    sink.answer(sink.taken[0], 0, 20)
    assert rest_of(stream) == SQUARES


def test_the_number_of_a_span_that_was_not_submitted_drops_no_task() -> None:
    with Farm("idle", local_slaves=0) as idle:
        kept = [idle.submit(abs, -number) for number in range(3)]
        stream = idle.imap(abs, range(3))
        # Ctrl-C in the very call, which no signal meets by chance.
        stream._sink.submit = _interrupt
        with pytest.raises(KeyboardInterrupt):
            next(stream)
        stream.close()
        idle.add_local_slaves(1)
        assert [future.result(timeout=10) for future in kept] == [0, 1, 2]


def _interrupt(_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("times", [1, 2, 1_000])
def test_an_item_that_interrupts_while_it_is_packed(
    farm: Farm, error: type[BaseException], times: int
) -> None:
    farm.submit(abs, -1).result(timeout=10)  # so that slots are free, and the main thread packs
    reduced = itertools.count()

    class Item:
        def __reduce__(self) -> Any:
            if next(reduced) < times:
                raise error
            return int, (7,)

    stream = farm.imap(abs, [1, Item(), 3, 5])
    seen: list[Any] = []
    while True:
        try:
            seen.append(next(stream))
        except StopIteration:
            break
        except BaseException as raised:
            seen.append(type(raised))
    one, its_own, *others = [each for each in seen if each is not error]
    assert [one, *others] == [1, 3, 5]
    assert its_own in ((7, NotPicklable) if times < 1_000 else (NotPicklable,))
    assert list(farm.map(abs, range(-3, 0))) == [3, 2, 1], "the farm goes on"


def test_what_has_arrived_comes_before_the_error_of_a_closed_farm() -> None:
    with Farm("test", local_slaves=1) as farm:
        streams: list[Any] = [
            farm.imap(abs, itertools.count(), limit=8),
            farm.imap_unordered(abs, itertools.count(), limit=8),
        ]
        seen = [[next(stream)] for stream in streams]
    for results, stream in zip(seen, streams, strict=True):
        with pytest.raises(FarmClosed, match="was shut down"):
            results.extend(iter(stream.__next__, None))
        values = sorted(each[1] if isinstance(each, tuple) else each for each in results)
        assert values == list(range(len(values)))
        assert len(values) > 1, "what was under way has come"
        assert list(stream) == []


def test_ctrl_c_in_a_turn_comes_after_it() -> None:
    with Farm("test", here=1) as farm:
        inbox = farm._master._inbox
        empty = inbox.empty

        def interrupt_then_empty() -> None:
            inbox.empty = empty
            signal.raise_signal(signal.SIGINT)
            empty()

        future = farm.submit(abs, -1)
        assert future.result(timeout=10) == 1
        for _ in range(20):
            inbox.is_announced = True
            inbox.empty = interrupt_then_empty
            with pytest.raises(KeyboardInterrupt):
                farm.statistics()
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert farm.submit(abs, -2).result(timeout=10) == 2, "nobody holds the lock"


def test_ctrl_c_twice_leaves_at_once_and_drops_what_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    farm = Farm("test", here=1)
    cancel_all = farm._master.cancel_all
    heard = threading.Semaphore(0)

    def interrupt(number: int, frame: FrameType | None) -> None:
        heard.release()
        signal.default_int_handler(number, frame)

    def interrupt_then_cancel() -> int:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(2):  # both are for the main thread
            assert heard.acquire(timeout=10)
        return cancel_all()

    monkeypatch.setattr(farm._master, "cancel_all", interrupt_then_cancel)
    futures, before = [], signal.signal(signal.SIGINT, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt), farm:
            futures += [farm.submit(time.sleep, 0.05) for _ in range(1000)]
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not futures[-1].done()
    eventually(futures[-1].cancelled, "it is dropped all the same")
    eventually(lambda: "closed" in repr(farm), "and the farm closes")


def test_a_turn_within_a_callback_of_a_turn_holds_on() -> None:
    interrupts = Interrupts()
    interrupts.hold()
    interrupts.hold()
    signal.raise_signal(signal.SIGINT)
    assert not interrupts.let_go(), "the outer one is not at its end"
    assert interrupts.let_go()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        interrupts.heed()
    interrupts.hold()
    assert not interrupts.let_go(), "it was heeded"


def test_a_storm_of_ctrl_c_costs_no_task_its_answer() -> None:
    is_over = threading.Event()

    def interrupt(_: int, frame: FrameType | None) -> None:
        """Raise in the farm's own code that ``submit`` runs, wherever that is."""
        is_ours = frame is not None and frame.f_globals["__name__"].startswith("masterslave.")
        while frame is not None and frame.f_code is not Farm.submit.__code__:
            frame = frame.f_back
        if is_ours and frame is not None and not is_over.is_set():
            raise KeyboardInterrupt

    def storm() -> None:
        for _ in range(200):
            is_over.wait(0.002)
            os.kill(os.getpid(), signal.SIGINT)
        is_over.set()

    futures, hits, storming = [], 0, threading.Thread(target=storm)
    with Farm("test", here=1) as farm:
        farm.submit(abs, -1).result(timeout=10)
        before = signal.signal(signal.SIGINT, interrupt)
        try:
            storming.start()
            while not is_over.is_set():
                try:
                    futures.append((len(futures), farm.submit(abs, -len(futures))))
                except KeyboardInterrupt:
                    hits += 1
            storming.join()
        finally:
            signal.signal(signal.SIGINT, before)
        assert hits > 10
        assert [future.result(timeout=20) for _, future in futures] == [n for n, _ in futures]
