"""What a master is told of the work of those before it, by slaves that speak by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from masterslave import Farm
from masterslave.packed import pack_value
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.hand_outs import RUN_BITS, run_of
from masterslave.protocol.joining import VERSION, Hold, Introduction, Welcome
from masterslave.protocol.outcomes import LOST, PART, VALUE, Outcome
from masterslave.protocol.verbs import Ask, Delivery, Instructions
from remoteobj import Proxy, release
from tests.conftest import eventually
from tests.masterslave.keeping.kept import Inherited, kept_farm

OLD = 1 << RUN_BITS
MINE = "00112233aabbccdd"

Join = Callable[..., "ByHand"]


class ByHand:
    """A slave that speaks by hand, and has served the farm before."""

    def __init__(self, farm: Farm, *, farm_id: str, holds: tuple[Hold, ...]) -> None:
        self.door = Proxy(farm.uri)
        python = sys.version_info[:2]
        me = Introduction(VERSION, "hand", "here", 1, 1, python, farm_id=farm_id, holds=holds)
        self.welcome = decode(self.door.join(encode(me)), Welcome)

    def deliver(self, sequence: int, *outcomes: Outcome) -> Instructions:
        delivery = Delivery(self.welcome.slave, sequence, outcomes, 1, 0)
        return decode(self.door.deliver(encode(delivery)), Instructions)


@pytest.fixture
def inherited() -> Inherited:
    return Inherited()


@pytest.fixture
def farm(inherited: Inherited) -> Iterator[Farm]:
    with kept_farm(
        "test", farm_id=MINE, keep_s=60.0, run=2, inherited=inherited, local_slaves=0
    ) as running:
        yield running


@pytest.fixture
def join(farm: Farm) -> Iterator[Join]:
    with ExitStack() as stack:

        def join_by_hand(*holds: Hold, farm_id: str = MINE) -> ByHand:
            slave = ByHand(farm, farm_id=farm_id, holds=holds)
            stack.callback(release, slave.door)
            return slave

        yield join_by_hand


def test_a_slave_is_told_how_the_farm_is_kept(join: Join) -> None:
    welcome = join().welcome
    assert (welcome.farm_id, welcome.keep_s) == (MINE, 60.0)


def test_what_a_slave_holds_of_earlier_runs_is_passed_on(join: Join, inherited: Inherited) -> None:
    nonsense = [Hold(-1, 1, 1), Hold(OLD, 1, 0), Hold(2 * OLD, 1, 1), Hold(3 * OLD, 1, 1)]
    join(Hold(OLD + 7, 2, 3), Hold(4, 1, 1), *nonsense)
    assert inherited.holds == [[Hold(OLD + 7, 2, 3), Hold(4, 1, 1)]]


def test_what_it_holds_of_another_farm_is_nothing_here(join: Join, inherited: Inherited) -> None:
    join(Hold(OLD + 7, 2, 3), farm_id="ddccbbaa33221100")
    join(Hold(OLD + 7, 2, 3), farm_id="")
    assert inherited.holds == [[], []]


def test_outcomes_of_earlier_runs_are_passed_on_once(
    farm: Farm, join: Join, inherited: Inherited
) -> None:
    slave = join(Hold(OLD + 7, 2, 1))
    told = [
        Outcome(OLD + 7, 2, 1, PART, pack_value("half"), item=0),
        Outcome(OLD + 7, 2, 1, VALUE, pack_value("whole")),
        Outcome(OLD + 8, 1, 1, LOST, b""),
    ]
    assert slave.deliver(3, *told).delivered == 3
    assert slave.deliver(3, *told).delivered == 3, "it comes again"
    assert inherited.outcomes == told
    assert farm.statistics().late == 0


def test_outcomes_of_this_run_go_where_they_always_go(
    farm: Farm, join: Join, inherited: Inherited
) -> None:
    future = farm.submit(abs, -7)
    slave = join()
    ask = encode(Ask(slave.welcome.slave, 1, 0))
    (task,) = decode(slave.door.next(ask), Instructions).tasks
    assert run_of(task.task) == 2
    old = Outcome(OLD, 1, 1, VALUE, pack_value("old"))
    slave.deliver(2, old, Outcome(task.task, task.attempt, 1, VALUE, pack_value(7)))
    assert future.result(timeout=5) == 7
    assert inherited.outcomes == [old]


@pytest.mark.parametrize("takes", [True, False, None])
def test_what_nobody_wants_is_counted_as_late(takes: bool | None) -> None:
    inherited = None if takes is None else Inherited(takes=takes)
    with kept_farm(
        "test", farm_id=MINE, keep_s=60.0, run=2, inherited=inherited, local_slaves=0
    ) as farm:
        slave = ByHand(farm, farm_id=MINE, holds=(Hold(OLD, 1, 1),))
        slave.deliver(1, Outcome(OLD, 1, 1, VALUE, pack_value(1)))
        assert farm.statistics().late == (0 if takes else 1)
        release(slave.door)


def test_a_slave_that_goes_is_told_of(join: Join, inherited: Inherited) -> None:
    release(join().door)
    eventually(lambda: inherited.gone == ["hand"], "its connection is closed")
