"""Leases that end: found without a look at the others, and nothing is left of them."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nameserver.changes import Lease
from nameserver.lease_table import LeaseTable, Taken
from nameserver.record import make_record
from nameserver.registry import Registry

pytestmark = pytest.mark.serial

LEASE_S = 30.0


def registry_of(leases: int) -> Registry:
    """Return a registry in which one name after another expires, each with a lease of its own."""
    registry = Registry(history_size=10)
    for number in range(leases):
        record = make_record(f"lab.n{number}", "PYRO:x@127.0.0.1:1")
        registry.apply(registry.register(record, Lease(str(number), LEASE_S)), now=number)
    return registry


def quickest_expiry_s(registry: Registry) -> float:
    """Let 200 names expire, one at a time; return what the quickest cost."""
    took_s = []
    for number in range(200):
        now = number + LEASE_S
        began = time.perf_counter()
        (change,) = registry.expire(now)
        took_s.append(time.perf_counter() - began)
        assert change.record.name == f"lab.n{number}"
        registry.apply([change], now)
    return min(took_s)


@pytest.mark.serial
def test_a_lease_that_ends_costs_the_same_among_many() -> None:
    few_s, many_s = (quickest_expiry_s(registry_of(leases)) for leases in (1_000, 30_000))
    print(f"\n  a lease of 1,000 ends in {few_s * 1e6:.1f} us, of 30,000 in {many_s * 1e6:.1f} us")
    assert many_s < 4 * few_s


def test_a_lease_that_comes_and_goes_leaves_nothing() -> None:
    leases, lease = LeaseTable(), Lease("one", 1e6)

    def come_and_go(times: int) -> None:
        for now in range(times):
            leases.hold("a", lease, now)
            leases.renew("one", now + 0.5)
            leases.let_go("a")

    come_and_go(1_000)
    before = sys.getallocatedblocks()
    come_and_go(20_000)
    assert sys.getallocatedblocks() - before < 2_000
    assert leases.next_end() is None


def test_a_lease_that_is_shorter_now_ends_sooner() -> None:
    leases = LeaseTable()
    leases.hold("a", Lease("one", 100.0), 0.0)
    leases.hold("b", Lease("one", 10.0), 1.0)
    assert leases.next_end() == 11.0
    assert leases.ended(11.0) == ["a", "b"]


ids, names = st.sampled_from("xyz"), st.sampled_from("abcde")
steps = st.one_of(
    st.tuples(st.just("hold"), names, ids, st.sampled_from([5.0, 10.0, 20.0])),
    st.tuples(st.just("let go"), names),
    st.tuples(st.just("renew"), ids),
    st.tuples(st.just("wait"), st.floats(0.1, 9.0)),
    st.tuples(st.just("end")),
)


@given(st.lists(steps, max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_history_ends_what_a_look_at_all_would_end(history: list[tuple[Any, ...]]) -> None:
    leases, now = LeaseTable(), 0.0
    model: dict[str, str] = {}  # name -> lease
    ends: dict[str, float] = {}
    durations: dict[str, float] = {}
    for what, *rest in history:
        match what, *rest:
            case "hold", name, lease, lease_s:
                leases.hold(name, Lease(lease, lease_s), now)
                model[name], ends[lease], durations[lease] = lease, now + lease_s, lease_s
            case "let go", name:
                leases.let_go(name)
                model.pop(name, None)
            case "renew", lease:
                assert leases.renew(lease, now) == (lease in model.values())
                if lease in model.values():
                    ends[lease] = now + durations[lease]
            case "wait", seconds:
                now += seconds
            case _:
                ended = leases.ended(now)
                assert sorted(ended) == sorted(n for n, each in model.items() if ends[each] <= now)
                for name in ended:
                    leases.let_go(name)
                model = {n: each for n, each in model.items() if n not in ended}
        assert leases.next_end() == min((ends[each] for each in model.values()), default=None)


def test_what_was_taken_is_remembered_for_some_and_not_for_ever() -> None:
    taken = Taken(3)
    for name in "abc":
        taken.note("one", name)
    taken.note("two", "a")
    assert len(taken.of("one")) == 2
    assert taken.of("two") == {"a"}
    taken.forget("two", "a")
    taken.forget("two", "never there")
    assert taken.of("two") == frozenset()
