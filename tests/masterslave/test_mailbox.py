"""A mailbox: parcels over a line that loses replies, what they bring, and how large they are."""

from __future__ import annotations

from functools import partial
from itertools import islice

import hypothesis.strategies as st
from hypothesis import given, settings

from masterslave import FarmFuture
from masterslave.farm.options import TaskTerms
from masterslave.master.mailbox import Mailbox
from masterslave.master.submission import Function
from masterslave.protocol.functions import KnownFunctions
from masterslave.protocol.hand_outs import Stop
from masterslave.scheduler import HandOut


def post(mailbox: Mailbox, task: int, function: bytes, packed: bytes, size: int = 0) -> None:
    single = FarmFuture(None, Function(function, packed, "f", "f"), TaskTerms(0), bytes(size))
    mailbox.post([(HandOut(task, 1), single)])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.booleans()), max_size=30),
    st.integers(0, 40),
)
def test_every_task_is_taken_in_exactly_once_over_a_line_that_loses_replies(
    exchanges: list[tuple[int, bool, bool]], tasks: int
) -> None:
    mailbox = Mailbox()
    posted = iter(range(tasks))
    taken: list[int] = []
    acknowledged = 0

    def exchange(reply_is_lost: bool) -> None:
        nonlocal acknowledged
        mailbox.acknowledge(acknowledged)
        parcel = mailbox.give_out()
        if not reply_is_lost and parcel.number > acknowledged:
            acknowledged = parcel.number
            taken.extend(hand_out.task for hand_out, _ in parcel.posts)

    for count, reply_is_lost, twice in exchanges:
        for number in islice(posted, count):
            post(mailbox, number, b"f", b"pickled")
        exchange(reply_is_lost)
        if twice:
            exchange(False)
    for number in posted:
        post(mailbox, number, b"f", b"pickled")
    for _ in range(3):
        exchange(False)
    assert taken == list(range(tasks))
    assert not mailbox.has_mail()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=60))
def test_both_ends_agree_about_which_functions_the_slave_has(uses: list[tuple[int, bool]]) -> None:
    few = partial(KnownFunctions, 3, 100)
    mailbox, known = Mailbox(known=few()), few()
    held: set[bytes] = set()
    for number, (function, is_taken) in enumerate(uses):
        digest = bytes([function])
        post(mailbox, number, digest, digest * (1 + 12 * function))
        if not is_taken and number != len(uses) - 1:
            continue
        parcel = mailbox.give_out()
        mailbox.acknowledge(parcel.number)
        for _, single in parcel.posts:
            used = single.function
            held |= parcel.functions.keys() & {used.digest}
            assert used.digest in held, "the slave was not sent it, or has forgotten it"
            held -= set(known.use(used.digest, len(used.packed)))
    assert len(held) <= 3


def test_what_has_not_left_is_taken_out_again() -> None:
    mailbox = Mailbox()
    for number in range(4):
        post(mailbox, number, b"f", b"pickled")
    mailbox.stop([HandOut(0, 1), HandOut(9, 1)])
    assert mailbox.recall([HandOut(1, 1), HandOut(8, 1)]) == [HandOut(1, 1)]
    parcel = mailbox.give_out()
    assert [hand_out.task for hand_out, _ in parcel.posts] == [2, 3]
    assert (parcel.stops, parcel.recalls) == ((Stop(9, 1),), (Stop(8, 1),))


def test_a_parcel_stays_within_its_size_but_holds_one_task() -> None:
    mailbox, mib = Mailbox(), 2**20
    functions = {b"f": bytes(3 * mib), b"g": bytes(14 * mib)}
    for number, size in enumerate([1, 15, 30, 1, 1]):
        digest = b"g" if number == 3 else b"f"
        post(mailbox, number, digest, functions[digest], size * mib)
    parcels = []
    while mailbox.has_mail():
        parcel = mailbox.give_out()
        mailbox.acknowledge(parcel.number)
        parcels.append(([post[0].task for post in parcel.posts], [*parcel.functions]))
    assert parcels == [([0], [b"f"]), ([1], []), ([2], []), ([3, 4], [b"g"])]
