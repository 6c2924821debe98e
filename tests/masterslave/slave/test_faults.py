"""A master in which something fails while it answers, as where memory is short for a moment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from masterslave.slave.workshop import Workshop
from remoteobj import expose
from tests.masterslave.slave.acts import act
from tests.masterslave.slave.conftest import Slave
from tests.masterslave.slave.fake_master import FakeMaster, value_of


class Faulty(FakeMaster):
    """Fails as often as it is told to, by verb."""

    def __init__(self) -> None:
        self.faults = {"next": 0, "deliver": 0}
        super().__init__()

    def _maybe_fail(self, verb: str) -> None:
        if self.faults[verb] > 0:
            self.faults[verb] -= 1
            raise MemoryError(f"in {verb}")

    @expose
    def next(self, message: bytes) -> bytes:
        self._maybe_fail("next")
        return super().next(message)

    @expose
    def deliver(self, message: bytes) -> bytes:
        self._maybe_fail("deliver")
        return super().deliver(message)


@pytest.fixture
def faulty() -> Iterator[Faulty]:
    """A master with a slave of one slot, that fails when it is told to."""
    master, workshop = Faulty(), Workshop(1)
    workshop.open()
    slave = Slave(workshop, master.uri)
    yield master
    master.faults.update(next=0, deliver=0)
    slave.link.leave_now()
    slave.wait()
    workshop.close()
    master.close()


@pytest.mark.parametrize("verb", ["next", "deliver"])
@pytest.mark.parametrize("at_once", [1, 20])
def test_a_fault_in_the_master_loses_nothing(faulty: Faulty, verb: str, at_once: int) -> None:
    faulty.wait_for(faulty.submit(act, 0))
    for times in (1, 2, 3):
        faulty.faults[verb] = times
        tasks = [faulty.submit(act, number) for number in range(at_once)]
        outcomes = faulty.wait_for(*tasks)
        assert [value_of(outcome) for outcome in outcomes] == [*range(at_once)]
