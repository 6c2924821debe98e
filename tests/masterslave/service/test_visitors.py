"""Who comes again with a ticket with which somebody else has come, and gone, meanwhile."""

from __future__ import annotations

import math

import msgspec

from masterslave.farm.packing import pack_arguments
from masterslave.journal.tickets import note_sent
from masterslave.protocol.attaching import Request, SentTasks, Taken
from tests.conftest import eventually
from tests.masterslave.service.bare import Bare, packed_terms, sent_function
from tests.masterslave.service.conftest import Open, reception_of

_FUNCTION = sent_function(math.isqrt)


def submit(script: Bare, first: int, *numbers: int) -> Taken:
    """Submit roots of these, the first with this serial."""
    packed = tuple(pack_arguments("isqrt", (number,), {}) for number in numbers)
    tasks = SentTasks(first, _FUNCTION.digest, packed_terms(), packed)
    return script.submit(Request(script.ticket, (_FUNCTION,), (tasks,)))


def test_who_was_here_before_others_submitted_is_not_let_in_again(open_service: Open) -> None:
    service = open_service(local_slaves=1)

    def again(visitor: str, taken: int) -> str:
        eventually(lambda: service.jobs()[0]["state"] == "detached", "who was here is gone")
        came = Bare(
            reception_of(service), ticket, visitor=visitor, is_whole=False, open=((0, 9),),
            taken=taken,
        )  # fmt: skip
        came.close()
        return came.admission.refused

    with Bare(reception_of(service), visitor="first") as first:
        ticket = first.ticket
        assert submit(first, 0, 1, 4).taken == 2
    for known in range(3):  # whatever it has heard before its connection was lost
        assert not again("first", known)
    with Bare(reception_of(service), ticket, visitor="silent"):
        pass
    assert not again("first", 1)
    with Bare(reception_of(service), ticket, visitor="second") as second:
        assert submit(second, 2, 9).taken == 3
    for _ in range(3):  # also after a start, and of a file that was compacted
        assert not again("second", 2)
        assert not again("silent", 3)
        for visitor, known in (("first", 0), ("first", 2), ("silent", 2), ("second", 1)):
            refused = again(visitor, known)
            assert "somebody else has come" in refused, (visitor, known)
            assert "submit again" in refused
        assert not again("of an earlier release", -1)
        service.close()
        service.journal.compact(service.journal.path, "survey")
        service = open_service(local_slaves=1)
    with Bare(reception_of(service), ticket, visitor="third") as third:
        assert third.collect_all() == {0: 1, 1: 2, 2: 3}


def test_what_was_submitted_and_cut_off_keeps_nobody_out(open_service: Open) -> None:
    """A service that is killed may leave how tasks were sent, and not the tasks."""
    service = open_service()
    with Bare(reception_of(service), visitor="first") as first:
        assert submit(first, 0, 1).taken == 1
    ticket = service._desk.book.find(first.ticket)
    assert ticket is not None
    service._desk.book.record(
        note_sent(msgspec.structs.replace(ticket.rows[0], first=1, visitor="second"))
    )
    service.close()
    service = open_service()
    with Bare(
        reception_of(service), first.ticket, visitor="first", is_whole=False, taken=1
    ) as again:
        assert not again.admission.refused
        assert submit(again, 1, 4).taken == 2


def test_nobody_takes_the_tasks_of_others_for_those_that_it_has_sent(open_service: Open) -> None:
    service = open_service(local_slaves=1)
    with Bare(reception_of(service), visitor="first") as first:
        assert submit(first, 0, 1, 4).taken == 2
        with Bare(reception_of(service), first.ticket, visitor="second") as second:
            taken = submit(second, 1, 100, 121)  # as if it had been let in before that was taken
            assert taken.taken == 2
            assert "somebody else has come" in taken.refused
            assert submit(second, 2, 9).taken == 3
            assert not submit(second, 2, 9, 16).refused
            assert second.collect_all(4) == {0: 1, 1: 2, 2: 3, 3: 4}
