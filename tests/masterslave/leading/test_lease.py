"""What a master knows of its own lease."""

from __future__ import annotations

from masterslave.leading.lease import OwnLease


def test_it_is_counted_from_before_the_request() -> None:
    lease = OwnLease(2.0)
    lease.wish("b", "")
    sent = lease.sends(10.0)
    assert not lease.acts(10.0), "nothing was granted"
    lease.granted(sent)
    assert lease.acts(11.4)
    assert not lease.acts(11.5), "a quarter is left for clocks, and for letting go"


def test_a_master_without_a_successor_needs_none() -> None:
    lease = OwnLease(2.0)
    lease.granted(lease.sends(10.0))
    assert lease.acts(1000.0)
    lease.end()
    assert not lease.acts(10.1)


def test_from_the_request_that_names_a_successor_it_is_needed() -> None:
    lease = OwnLease(2.0)
    lease.granted(lease.sends(10.0))
    wish = lease.wish("b", "node-b")
    sent = lease.sends(10.5)
    assert (sent.successor, sent.node, sent.wish) == ("b", "node-b", wish)
    assert lease.acts(11.4)
    assert not lease.acts(11.5), "the name server may have heard it"


def test_a_successor_is_named_while_the_lease_runs_only() -> None:
    lease = OwnLease(2.0)
    lease.granted(lease.sends(10.0))
    lease.wish("b", "")
    first = lease.sends(100.0)
    assert (first.successor, first.wish) == ("", 0)
    assert lease.acts(1000.0)
    lease.granted(first)
    assert lease.has_wish
    second = lease.sends(100.1)
    lease.granted(second)
    assert (second.successor, lease.has_wish) == ("b", False)
    assert not lease.acts(101.6)


def test_a_late_yes_is_one_to_what_was_asked_then() -> None:
    lease = OwnLease(2.0)
    lease.granted(lease.sends(10.0))
    lease.wish("b", "")
    sent = lease.sends(10.1)
    lease.wish("", "")
    lease.granted(sent)
    assert lease.has_wish, "it was no yes to nobody"
    assert not lease.acts(12.0)
    lease.granted(lease.sends(10.3))
    assert not lease.has_wish
    assert lease.acts(12.0)
