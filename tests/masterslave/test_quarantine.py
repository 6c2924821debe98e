"""A slave in quarantine, as its farm sees it: it is shown, tried after a while, and comes back."""

from __future__ import annotations

import contextlib
import pickle

from masterslave import Farm, FarmSettings
from masterslave.packed import pack_value
from masterslave.protocol.encoding import encode
from masterslave.protocol.outcomes import RAISED, VALUE, Outcome, Raised
from masterslave.scheduler import Feeding
from remoteobj import release
from tests.masterslave.test_conversation import ByHand

ERROR = encode(Raised("OSError", "broken", "", pickle.dumps(OSError("broken"))))


def test_a_record_releases_its_slave() -> None:
    settings = FarmSettings(heartbeat_s=0.1)
    with contextlib.suppress(_Over), Farm("test", local_slaves=0, settings=settings) as farm:
        bad, good = ByHand(farm, "bad"), ByHand(farm, "good")
        quarantine(farm, bad, good)
        assert farm.statistics().slaves_quarantined == 1
        farm.slaves[1].release()  # which is in none
        farm.slaves[0].release()
        assert [(slave.state, slave.evidence) for slave in farm.slaves] == [("idle", ())] * 2
        assert farm.statistics().slaves_released == 1
        release(bad.door)
        release(good.door)
        raise _Over


def quarantine(farm: Farm, bad: ByHand, good: ByHand) -> dict[ByHand, int]:
    """Have tasks fail at one and succeed at the other; returns their last batches."""
    again = farm.options(retries=1)
    good.ask(0, 0)
    batches = {bad: 0, good: 0}
    for number in range(1, 4):
        future = again.submit(abs, -number)
        told = bad.ask(1, batches[bad])
        batches[bad] = told.batch
        (task,) = told.tasks
        assert not bad.ask(0, batches[bad]).tasks
        told = bad.ask(0, batches[bad], number, Outcome(task.task, task.attempt, 1, RAISED, ERROR))
        assert told.delivered == number
        told = good.ask(1, batches[good])
        batches[good] = told.batch
        (task,) = told.tasks
        done = Outcome(task.task, task.attempt, 1, VALUE, pack_value(1))
        good.ask(1 if number == 3 else 0, batches[good], number, done)
        assert future.result(timeout=5) == 1
    return batches


class _Over(Exception):
    """Leaves a farm's block without waiting for what is open."""


def test_a_slave_in_quarantine_comes_back_with_a_task_that_it_does() -> None:
    settings = FarmSettings(heartbeat_s=0.1, feeding=Feeding(quarantine_s=0.2))
    with contextlib.suppress(_Over), Farm("test", local_slaves=0, settings=settings) as farm:
        bad, good = ByHand(farm, "bad"), ByHand(farm, "good")
        batches = quarantine(farm, bad, good)
        again = farm.options(retries=1)
        assert [slave.state for slave in farm.slaves] == ["quarantined", "idle"]
        assert len(farm.slaves[0].evidence) == 3
        good.ask(0, batches[good])
        future = again.submit(abs, -9)
        told = bad.ask(1, batches[bad])
        while not told.tasks:
            told = bad.ask(1, batches[bad])
        (task,) = told.tasks
        bad.deliver(4, Outcome(task.task, task.attempt, 1, VALUE, pack_value(9)))
        assert future.result(timeout=5) == 9
        assert [(slave.state, slave.evidence) for slave in farm.slaves] == [("idle", ())] * 2
        release(bad.door)
        release(good.door)
        raise _Over
