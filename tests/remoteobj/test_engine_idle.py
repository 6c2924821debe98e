"""Connections that are not in use: how many are kept, and what memory they give back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from segments_link import mapped_segments, needs_segments
from servants import Connect, StartScript

from remoteobj.client.idle import IdleLinks
from remoteobj.client.session import Session


class Shared:
    def __init__(self) -> None:
        self.looked_at = 0

    def drop_unused(self) -> None:
        self.looked_at += 1


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def link(*, shares: bool = False) -> Any:
    made = SimpleNamespace(arrived=None, shared=Shared() if shares else None, is_open=True)
    made.close = lambda: setattr(made, "is_open", False)
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def idle(clock: Clock) -> IdleLinks:
    return IdleLinks(clock=clock)


def test_the_last_one_is_taken_first_and_what_has_spoken_is_closed(idle: IdleLinks) -> None:
    first, second, third = link(), link(), link()
    third.arrived = lambda _timeout: [(3, 1)]
    for each in (first, second, third):
        idle.give(each)
    assert [idle.take(), idle.take(), idle.take()] == [second, first, None]
    assert not third.is_open
    assert not idle.has_idle


def test_what_many_threads_have_left_is_closed_with_the_next_calls(idle: IdleLinks) -> None:
    links = [link() for _ in range(100)]
    for each in links:
        idle.give_back(each)  # as the straight way does, which counts nothing
    for _ in range(100):
        taken = idle.take()
        assert taken is not None
        idle.give_back(taken)
    assert sum(each.is_open for each in links) == 32
    assert links[-1].is_open
    another = link()
    idle.give(another)
    assert not another.is_open


def test_memory_is_given_back_by_the_connection_that_is_used(idle: IdleLinks) -> None:
    only = link(shares=True)
    for _ in range(3):
        idle.give(only)
        assert idle.take() is only
    assert only.shared.looked_at == 3


def test_a_connection_with_memory_that_nobody_needs_is_closed(
    idle: IdleLinks, clock: Clock
) -> None:
    quiet, plain, busy = link(shares=True), link(), link()
    for each in (quiet, plain, busy):
        idle.give(each)
    for _ in range(9):
        clock.now += 1.0
        assert idle.take() is busy
        idle.give_back(busy)
    assert quiet.is_open
    clock.now += 2.0
    assert idle.take() is busy
    assert not quiet.is_open
    assert plain.is_open
    assert [idle.take(), idle.take()] == [plain, None]


def test_one_that_is_used_now_and_then_stays_open(idle: IdleLinks, clock: Clock) -> None:
    shares, other = link(shares=True), link(shares=True)
    for _ in range(5):
        idle.give(shares)
        idle.give(other)
        clock.now += 8.0
        assert idle.take() is other
        assert idle.take() is shares
    assert shares.is_open


def test_nobody_looks_where_nothing_is_shared(idle: IdleLinks, clock: Clock) -> None:
    """What is called most must not pay for what it does not use."""
    shares, other, third = link(shares=True), link(), link()
    idle.give(shares)
    idle.give(other)
    clock.now += 20.0
    assert idle.take() is other
    assert not shares.is_open
    idle.give(third)
    looks: list[float] = []
    idle._clock = lambda: looks.append(0.0) or 2000.0
    idle.give_back(other)
    assert idle.take() is other
    assert looks == []


SERVE = """
import sys
from remoteobj import Daemon, expose

@expose
class Store:
    def echo(self, value):
        return value

with Daemon() as daemon:
    print(daemon.register(Store(), "it"), flush=True)
    daemon.start()
    sys.stdin.read()
"""

LARGE = bytes(8 << 20)


@pytest.fixture
def store(start_script: StartScript, connect: Connect) -> Iterator[Any]:
    process: subprocess.Popen[str] = start_script("-c", SERVE)
    assert process.stdout is not None
    yield connect(process.stdout.readline().strip())
    process.communicate("")


@needs_segments
def test_the_client_of_a_large_call_gives_its_memory_back(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = mapped_segments()
    assert len(store.echo(LARGE)) == len(LARGE)
    assert mapped_segments() == before + 2  # what it has lent, and what it has borrowed
    assert store.echo(1) == 1
    assert mapped_segments() == before + 2  # it may be needed again soon
    monkeypatch.setattr("remoteobj.transport.shared._KEPT_S", 0.0)
    assert store.echo(1) == 1
    assert mapped_segments() == before + 1  # the other one is the daemon's to give back


@needs_segments
def test_the_memory_of_a_connection_that_is_left_over_is_given_back(store: Any) -> None:
    session: Session = store._channel.session
    assert store.echo(LARGE) == LARGE
    pool = session.pool
    assert pool is not None
    left = session.take(None)[0]
    before = mapped_segments()
    assert store.echo(1) == 1  # over another one
    pool.give(left)
    pool.give(session.open(None))
    clock = pool._clock
    pool._clock = lambda: clock() + 60.0
    assert store.echo(2) == 2
    assert mapped_segments() == before - 2
    assert left.stream.sock.fileno() < 0
