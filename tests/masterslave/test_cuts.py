"""Between a real farm and a real slave, the connection is cut at every message of a run."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future

import pytest

from masterslave import Farm, FarmSettings
from masterslave.slave.workshop import Workshop
from remoteobj import URI, Identity
from tests.masterslave.cutting import CuttingRelay
from tests.masterslave.slave.conftest import Slave

CUTS = 60


def square(number: int) -> int:
    return number * number


@pytest.mark.parametrize("delivers", [True, False], ids=["after it", "before it"])
def test_nothing_is_lost_and_each_task_is_answered_once(identity: Identity, delivers: bool) -> None:
    settings = FarmSettings(heartbeat_s=0.2, max_attempts=1000)
    answers: Counter[Future[int]] = Counter()
    with Farm(
        "test", local_slaves=0, host="127.0.0.1", identity=identity, settings=settings
    ) as farm:
        relay = CuttingRelay(farm.uri.location, delivers=delivers, most=CUTS)
        host, _, port = relay.address.rpartition(":")
        workshop = Workshop(2)
        workshop.open()
        slave = Slave(workshop, URI(f"PYRO:{farm.uri.object}@{host}:{port}"), identity=identity)
        try:
            number = 0
            while relay.cuts < CUTS - 1:
                futures = [farm.submit(square, each) for each in range(number, number + 5)]
                for future in futures:
                    future.add_done_callback(lambda one: answers.update([one]))
                stream = farm.imap_unordered(square, range(number, number + 20))
                assert [one.result(timeout=20) for one in futures] == [
                    each * each for each in range(number, number + 5)
                ]
                assert dict(stream) == {n: n * n for n in range(number, number + 20)}
                number += 5
            counts = farm.statistics()
            slave.link.leave_now()
            slave.wait()
        finally:
            workshop.close()
            relay.close()
    assert relay.cuts >= CUTS - 1
    assert len(answers) == number
    assert set(answers.values()) == {1}
    assert counts.done == counts.submitted == 5 * number
    assert counts.given_up == counts.failed == 0
