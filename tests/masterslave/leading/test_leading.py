"""The keeper of a lease, at a name server that goes away, hangs, forgets, and loses answers."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from masterslave.leading import Leading
from nameserver import NotLeader
from nameserver.leadership import Manner
from remoteobj import ConnectionLost
from tests.conftest import PATIENCE_S, eventually
from tests.masterslave.leading.servers import Rules

FARM, A, B = "0f" * 8, "a" * 16, "b" * 16
LEASE_S = 1.0

Start = Callable[..., Leading]


@pytest.fixture
def rules() -> Rules:
    return Rules()


@pytest.fixture
def lost() -> queue.SimpleQueue[tuple[float, str]]:
    return queue.SimpleQueue()


@pytest.fixture
def start(rules: Rules, lost: queue.SimpleQueue[tuple[float, str]]) -> Iterator[Start]:
    started: list[Leading] = []

    def start(
        copy: str = A, epoch: int = 1, *, lease_s: float = LEASE_S, as_successor: bool = False
    ) -> Leading:
        leading = Leading(
            rules.find,
            FARM,
            copy,
            epoch,
            lease_s=lease_s,
            on_lost=lambda why: lost.put((time.monotonic(), why)),
            as_successor=as_successor,
        )
        started.append(leading)
        return leading

    yield start
    rules.hangs.set()
    for leading in started:
        leading.close()


def test_it_is_renewed_as_long_as_it_is_held(rules: Rules, start: Start) -> None:
    leading = start()
    assert leading.take().epoch == leading.epoch == 1
    leading.set_successor(B)
    begun = time.monotonic()
    eventually(lambda: len(rules.asked) > 8, "it is renewed")
    assert time.monotonic() - begun > LEASE_S, "each quarter of the lease"
    assert leading.acts
    assert {claim.manner for claim in rules.asked[1:]} == {Manner.RENEW}
    assert rules.asked[-1].successor == B
    with pytest.raises(NotLeader, match=r"led by a+, since epoch 1: its lease runs"):
        start(B, as_successor=True).take()


@pytest.mark.parametrize("how", ["is_away", "hangs"])
def test_it_is_lost_in_time_when_it_is_not_renewed(
    rules: Rules, start: Start, lost: queue.SimpleQueue[tuple[float, str]], how: str
) -> None:
    lease_s = 4.0  # of which a quarter is for a machine that is busy
    leading = start(lease_s=lease_s)
    leading.take()
    leading.set_successor(B)
    since = time.monotonic()
    if how == "hangs":
        rules.hangs.clear()
    else:
        rules.is_away = True
    at, why = lost.get(timeout=PATIENCE_S)
    assert at - since < lease_s
    assert "could not be renewed in time" in why
    assert not leading.acts
    with pytest.raises(NotLeader, match="could not be renewed"):
        leading.set_successor("")
    rules.is_away = False
    rules.hangs.set()
    successor = start(B, as_successor=True)
    eventually(lambda: takes(successor), "the lease is over")
    assert (successor.epoch, successor.acts, leading.acts) == (2, True, False)


def test_a_master_without_a_successor_goes_on_without_a_name_server(
    rules: Rules, start: Start, lost: queue.SimpleQueue[tuple[float, str]]
) -> None:
    leading = start()
    leading.take()
    leading.set_successor(B)
    leading.set_successor("")
    rules.is_away = True
    with pytest.raises(queue.Empty):
        lost.get(timeout=2 * LEASE_S)
    assert leading.acts
    assert "does not answer: nobody there" in leading.trouble
    rules.is_away = False
    leading.set_successor(B)
    assert (leading.acts, leading.trouble) == (True, "")


def test_a_name_server_that_forgot_a_master_without_a_successor_learns_of_it(
    rules: Rules, start: Start
) -> None:
    leading = start()
    leading.take()
    rules.is_away = True
    eventually(lambda: rules.left_s(FARM) == 0.0, "the lease is over")
    rules.forget()
    rules.is_away = False
    leading.set_successor(B)
    leader = rules.leader(FARM)
    assert leader is not None
    assert (leader.epoch, leader.holder, leader.successor) == (1, A, B)
    assert leading.acts


def test_a_name_server_that_forgot_a_master_with_a_successor_ends_it(
    rules: Rules, start: Start, lost: queue.SimpleQueue[tuple[float, str]]
) -> None:
    leading = start()
    leading.take()
    leading.set_successor(B)
    rules.forget()
    assert "nothing is known" in lost.get(timeout=PATIENCE_S)[1]
    with pytest.raises(NotLeader, match=r"not known whether b+ has all"):
        start(B, as_successor=True).take()


def test_a_lost_answer_is_asked_for_again(rules: Rules, start: Start) -> None:
    leading = start()
    rules.loses_answer = True
    with pytest.raises(ConnectionLost):
        leading.take()
    assert not leading.acts
    assert leading.take().epoch == 1
    rules.loses_answer = True
    leading.set_successor(B)
    assert [claim.successor for claim in rules.asked[-2:]] == [B, B]


def test_who_resigns_is_succeeded_at_once(
    rules: Rules, start: Start, lost: queue.SimpleQueue[tuple[float, str]]
) -> None:
    leading = start()
    leading.take()
    leading.set_successor(B)
    leading.resign()
    assert not leading.acts
    successor = start(B, as_successor=True)
    assert successor.take().epoch == 2
    assert lost.empty()


def test_what_is_given_to_whoever_was_closed_meanwhile_is_given_back(
    rules: Rules, start: Start
) -> None:
    leading = start()
    rules.hangs.clear()
    asks = threading.Thread(target=lambda: why.append(refusal(leading)))
    why: list[str] = []
    asks.start()
    eventually(lambda: rules.waiting, "it asks")
    leading.close()
    rules.hangs.set()
    asks.join()
    assert "is led here no more" in why[0]
    assert len(rules.asked) == 1, "it was given"
    assert rules.left_s(FARM) == 0.0, "it is free at once"
    assert not leading.acts


def refusal(leading: Leading) -> str:
    """Return why it does not get the leadership."""
    with pytest.raises(NotLeader) as refused:
        leading.take()
    return str(refused.value)


def test_who_is_succeeded_is_told_by_whom(
    rules: Rules, start: Start, lost: queue.SimpleQueue[tuple[float, str]]
) -> None:
    leading = start()
    leading.take()
    now = time.monotonic()  # somebody has set it free
    rules.leaderships.apply(rules.leaderships.freed(FARM, now + LEASE_S), now, runs=False)
    start(B, epoch=9).take()
    assert "led by b" in lost.get(timeout=PATIENCE_S)[1]
    assert not leading.acts


def test_it_may_be_closed_by_who_hears_that_it_is_lost(rules: Rules) -> None:
    closed = threading.Event()

    def close(_: str) -> None:
        leading.close()
        closed.set()

    leading = Leading(rules.find, FARM, A, 1, lease_s=0.4, on_lost=close)
    leading.take()
    leading.set_successor(B)
    rules.is_away = True
    assert closed.wait(PATIENCE_S)


def test_whoever_was_stopped_does_not_act_when_it_goes_on(rules: Rules) -> None:
    """Its threads may not have run yet: whoever asks is told by the clock."""
    slept_s = 0.0
    leading = Leading(
        rules.find, FARM, A, 1, on_lost=str, lease_s=5.0, clock=lambda: time.monotonic() + slept_s
    )
    leading.take()
    leading.set_successor(B)
    assert leading.acts
    slept_s = 100.0
    assert not leading.acts
    leading.close()


def takes(leading: Leading) -> bool:
    """Tell whether it gets the leadership."""
    try:
        leading.take()
    except NotLeader:
        return False
    return True
