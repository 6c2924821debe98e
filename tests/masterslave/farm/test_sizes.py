"""Items of very unequal sizes: what goes to a slave at once stays within its bytes."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable

import pytest

from masterslave import Farm, NotPicklable
from masterslave.farm import packing
from masterslave.master import mailbox, sending
from masterslave.master.mailbox import Mailbox
from masterslave.master.submission import Submission
from masterslave.scheduler import HandOut
from tests.masterslave.squares import Squares
from tests.masterslave.test_conversation import ByHand, join, lonely_farm, value

__all__ = ["join", "lonely_farm"]

LIMIT = 100_000
LARGE = [bytes([number]) * 30_000 for number in range(40)]


@pytest.fixture
def small_parcels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MAX_PARCEL_BYTES", LIMIT)
    monkeypatch.setattr(mailbox, "MAX_PARCEL_BYTES", LIMIT)


@pytest.mark.usefixtures("small_parcels")
def test_a_tiny_first_item_makes_no_parcel_too_large(
    lonely_farm: Farm, join: Callable[..., ByHand]
) -> None:
    results = lonely_farm.map(len, [b"", *LARGE], chunksize=2)
    slave = join()
    told = slave.ask(1, 0)
    delivered, seen = 0, 0
    while told.tasks:
        assert sum(len(task.arguments) for task in told.tasks) <= LIMIT
        outcomes = []
        for task in told.tasks:
            items = pickle.loads(task.arguments)
            seen += len(items)
            outcomes.append(value(task, [len(item) for item in items]))
        delivered += len(outcomes)
        told = slave.ask(1, told.batch, delivered, *outcomes)
    assert seen == 41, "each once"
    assert list(results) == [0] + [30_000] * 40


def test_items_too_large_together_go_one_by_one_and_one_alone_is_refused(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "MAX_PAYLOAD_BYTES", 2**20)
    items = [b"", *[bytes(2**19)] * 5, bytes(3 * 2**20), b"the last"]
    items = [bytes(bytearray(item)) for item in items]  # no two are one object, sent once
    with pytest.raises(
        NotPicklable, match=r"an item for len\(\) take 3 MiB, at most 1 travel.*file"
    ):
        list(farm.map(len, items, chunksize=8))
    stream = farm.options(max_attempts=1).imap(len, items)
    assert [next(stream) for _ in range(6)] == [0] + [2**19] * 5
    with pytest.raises(NotPicklable, match="send the name of a file"):
        next(stream)
    assert list(stream) == [8]


def test_what_is_postponed_goes_first_unless_it_was_stopped() -> None:
    span: Submission = Squares().make_span([1, 2, 3, 4, 5], lambda _: None)
    posts = [(HandOut(number, 1), span) for number in range(5)]
    box = Mailbox()
    box.post(posts[:4])
    parcel = box.give_out()
    box.post(posts[4:])
    box.stop([posts[2][0], posts[0][0]])
    box.postpone(posts[1:4])
    assert parcel.posts == posts[:1]
    box.acknowledge(parcel.number)
    following = box.give_out()
    assert following.posts == [posts[1], posts[3], posts[4]]
    assert [stop.task for stop in following.stops] == [0]


def test_a_function_whose_first_items_cannot_be_sent_is_known_all_the_same(farm: Farm) -> None:
    def size(item: object) -> int:
        return len(str(item))

    for _ in range(3):
        with pytest.raises(NotPicklable, match="lock"):
            next(farm.imap(size, [threading.Lock()]))
        assert next(farm.imap(size, [12])) == 2
