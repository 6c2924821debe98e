"""Plans of faults: equal seeds, equal plans; all of it is over in time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterslave.testing.faults import EVERYTHING, Kind, plan
from tests.masterslave.hash_seeds import printed_with_hash_seeds

SECONDS = st.floats(min_value=0.5, max_value=600.0)
KINDS = st.sets(st.sampled_from(EVERYTHING))


@given(seed=st.integers(0, 2**32), seconds=SECONDS, kinds=KINDS)
def test_a_plan_is_in_order_and_over_in_time(seed: int, seconds: float, kinds: set[Kind]) -> None:
    faults = plan(seed, seconds, kinds)
    assert bool(faults) == bool(kinds)
    assert {fault.kind for fault in faults} <= kinds
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)
    for fault in faults:
        assert 0 <= fault.at_s < seconds
        assert fault.for_s >= 0
        assert fault.at_s + fault.for_s <= seconds + 1e-5 or fault.kind is Kind.CLOCK_BACK


def test_every_kind_comes_alone_and_with_others_short_and_long() -> None:
    plans = [plan(seed, 20.0) for seed in range(300)]
    together = [{fault.kind for fault in faults} for faults in plans]
    assert set().union(*together) == set(EVERYTHING)
    assert any(len(kinds) == 1 for kinds in together)
    assert any(len(kinds) > 10 for kinds in together)
    lengths = [fault.for_s for faults in plans for fault in faults if fault.kind is Kind.CUT]
    assert min(lengths) < 0.1
    assert max(lengths) > 6.0


def test_equal_seeds_are_equal_plans_in_every_process_and_words_are_kinds() -> None:
    program = (
        "from masterslave.testing.faults import plan; "
        "print(plan(7, 30.0, {'cut', 'kill_slave', 'kill_master'}))"
    )
    assert printed_with_hash_seeds(program) == {
        str(plan(7, 30.0, [Kind.KILL_MASTER, Kind.KILL_SLAVE, Kind.CUT]))
    }
    assert plan(7, 30.0) != plan(8, 30.0)


def test_a_kind_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="earthquake"):
        plan(1, 10.0, ["earthquake"])
