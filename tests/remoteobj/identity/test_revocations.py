"""The book of members, and the list of those that were revoked."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from remoteobj import BadInput, IdentityUnusable
from remoteobj.identity import Claims
from remoteobj.identity.authority import Authority
from remoteobj.identity.membership import Member, Membership
from remoteobj.identity.revoked import MAX_LIST_BYTES, NOTHING_REVOKED, Entry, Revoked

NOW = 1_800_000_000.0
YEAR_S = 365 * 86400.0
LAB = Authority.create("lab", NOW)
CA = LAB.certificate_pem


def member(number: int, name: str = "anna", role: str = "slave", now: float = NOW) -> Member:
    return Member(
        node=f"{number:016x}",
        name=name,
        role=role,
        serial=f"{number + 1:x}",
        issued=now,
        expires=now + YEAR_S,
    )


def claims(number: int, serial: str = "fff") -> Claims:
    return Claims(f"{number:016x}", "slave", "anna", serial)


entries = st.lists(
    st.builds(
        Entry,
        st.integers(1, 2**159 - 1).map("{:x}".format),
        st.integers(0, 2**64 - 1).map("{:016x}".format),
        st.integers(int(NOW), int(NOW + YEAR_S)).map(float),
    ),
    max_size=8,
    unique_by=lambda entry: entry.serial,
)


@given(entries, st.integers(1, 2**63))
@settings(deadline=None)
def test_what_was_revoked_is_read(revoked: list[Entry], number: int) -> None:
    seen = Revoked.read(LAB.revocations(revoked, number, NOW), CA)
    assert seen.number == number
    assert seen.serials == {entry.serial for entry in revoked}
    assert seen.nodes == {entry.node for entry in revoked}


def test_it_says_who_is_refused() -> None:
    seen = Revoked.read(LAB.revocations([Entry("2", f"{1:016x}", NOW)], 7, NOW), CA)
    for refused in (claims(1), claims(1, "2"), claims(5, "2")):
        why = seen.refuses(refused)
        assert why is not None
        assert "'anna'" in why
        assert "invite it and let it join again" in why
    assert seen.refuses(claims(2)) is None
    assert NOTHING_REVOKED.refuses(claims(1)) is None
    assert "BEGIN" not in repr(seen)


@given(st.lists(st.integers(0, 20)))
def test_numbers_only_grow(numbers: list[int]) -> None:
    held = NOTHING_REVOKED
    for number in numbers:
        held = held.merge(Revoked(number))
        assert held.number >= number
    assert held.number == max(numbers, default=0)


GOOD = LAB.revocations([Entry("2", f"{1:016x}", NOW)], 7, NOW)


@given(st.integers(0, len(GOOD) * 8 - 1))
@settings(deadline=None, max_examples=300)
def test_a_changed_bit_is_refused(bit: int) -> None:
    pem = bytearray(GOOD)
    pem[bit // 8] ^= 1 << bit % 8
    try:
        seen = Revoked.read(bytes(pem), CA)
    except IdentityUnusable:
        return
    assert (seen.number, seen.serials) == (7, {"2"})  # a bit that PEM does not look at


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_are_refused_in_words(junk: bytes) -> None:
    for pem in (junk, b"-----BEGIN X509 CRL-----\n" + junk + b"\n-----END X509 CRL-----\n"):
        with pytest.raises(IdentityUnusable):
            Revoked.read(pem, CA)
    with pytest.raises(IdentityUnusable):
        Revoked.read(GOOD, junk)


def test_another_authoritys_list() -> None:
    other = Authority.create("lab", NOW)
    with pytest.raises(IdentityUnusable, match="not signed by this cluster's authority"):
        Revoked.read(other.revocations([], 9, NOW), CA)
    with pytest.raises(IdentityUnusable, match="bytes at most"):
        Revoked.read(GOOD + b" " * MAX_LIST_BYTES, CA)


def test_members_are_found_by_node_or_name() -> None:
    book = Membership().add(member(1)).add(member(2)).add(member(3, "bert", "member"))
    assert book.find(f"{1:016x}") == member(1)
    assert book.find("bert") == member(3, "bert", "member")
    with pytest.raises(BadInput, match=r"2 members are called 'anna'; give the id of one: 0+1 "):
        book.find("anna")
    book = book.revoke(f"{1:016x}", NOW)
    assert book.find("anna").node == f"{2:016x}"  # the only one that is left
    with pytest.raises(BadInput, match="no member is called 'carl': 'nameserver members'"):
        book.find("carl")
    with pytest.raises(BadInput, match="is a member already"):
        book.add(member(3))
    with pytest.raises(BadInput, match="let that machine join"):
        book.of_node("0" * 16)


def test_a_revoked_node_gets_no_renewal() -> None:
    book = Membership().add(member(1)).revoke("anna", NOW)
    assert book.revoke(f"{1:016x}", NOW + 9) == book
    with pytest.raises(BadInput, match="was revoked: invite it"):
        book.renew(f"{1:016x}", serial="9", issued=NOW, expires=NOW + 1)


def test_an_authority_from_a_backup_is_not_taken_for_an_old_one() -> None:
    backup = Membership().add(member(1)).add(member(2, "bert"))
    later = backup.revoke("anna", NOW + 100)
    restored = backup.revoke_nodes(frozenset({f"{1:016x}", "f" * 16}), NOW + 200)
    assert restored.of_node(f"{1:016x}").revoked_at == NOW + 200
    assert restored.number > later.number >= NOW
    assert later.next_number(0.0) == later.number + 1  # a clock that was set back


def test_those_who_left_without_a_word() -> None:
    book = Membership().add(member(1)).add(member(2, "bert")).revoke("bert", NOW)
    assert book.without_expired(NOW + YEAR_S - 1) == book
    assert [kept.name for kept in book.without_expired(NOW + YEAR_S).members] == ["bert"]


class Histories(RuleBasedStateMachine):
    """Joins, renewals and revocations in any order, against the simplest book."""

    def __init__(self) -> None:
        super().__init__()
        self.book, self.now = Membership(), NOW
        self.serials: dict[str, list[str]] = {}
        self.revoked: set[str] = set()
        self.made = self.number = 0

    def serial(self) -> str:
        self.made += 1
        return f"{self.made:x}"

    @rule(role=st.sampled_from(["slave", "member"]))
    def join(self, role: str) -> None:
        node = f"{len(self.serials):016x}"
        new = msgspec.structs.replace(
            member(0, role=role, now=self.now), node=node, serial=self.serial()
        )
        self.book = self.book.add(new)
        self.serials[node] = [new.serial]

    @precondition(lambda self: self.serials)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        node, serial = data.draw(st.sampled_from(sorted(self.serials))), self.serial()
        renewed = {"serial": serial, "issued": self.now, "expires": self.now + YEAR_S}
        if node in self.revoked:
            with pytest.raises(BadInput):
                self.book.renew(node, **renewed)
            return
        self.book = self.book.renew(node, **renewed)
        self.serials[node].append(serial)

    @precondition(lambda self: self.serials)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        node = data.draw(st.sampled_from(sorted(self.serials)))
        self.book = self.book.revoke(node, self.now)
        self.revoked.add(node)

    @rule(days=st.integers(-5, 5))
    def time_passes(self, days: int) -> None:
        self.now += days * 86400.0

    @invariant()
    def the_list_says_it_all(self) -> None:
        expected = {serial for node in self.revoked for serial in self.serials[node]}
        assert {entry.serial for entry in self.book.entries()} == expected
        assert {entry.node for entry in self.book.entries()} == self.revoked
        assert self.book.number >= self.number
        self.number = self.book.number

    @invariant()
    def it_is_the_same_after_a_night_on_disk(self) -> None:
        assert msgspec.json.decode(msgspec.json.encode(self.book), type=Membership) == self.book


Histories.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestHistories = Histories.TestCase
