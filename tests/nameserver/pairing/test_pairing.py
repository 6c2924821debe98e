"""Machines join by a token or a code: real sockets, one account each."""

from __future__ import annotations

import contextlib
import time

import pytest

from nameserver.errors import JoinRefused
from nameserver.pairing.host import Host
from nameserver.pairing.joining import join_by_code, join_by_token
from nameserver.pairing.token import read_token
from remoteobj import Identity
from tests.conftest import eventually
from tests.nameserver.pairing.accounts import Account


def _at(host: Host) -> str:
    return f"127.0.0.1:{host.port}"


def test_a_machine_joins_by_a_token_and_stays_in(host: Host) -> None:
    text = host.invite("slave", 1, 60.0).text()
    newcomer = join_by_token(read_token(text), name="anna")
    assert newcomer.identity.claims.role == "slave"
    assert newcomer.identity.claims.name == "anna"
    assert Identity.stored("lab") == newcomer.identity
    member = host.office.members().find("anna")
    assert (member.node, member.role) == (newcomer.identity.claims.node, "slave")


def test_a_machine_joins_by_a_code(host: Host) -> None:
    code = host.open_code("member")
    newcomer = join_by_code(code.text(), at=_at(host), name="anna")
    assert newcomer.identity.claims.role == "member"
    assert newcomer.identity.ca_fingerprint == host.office.fingerprint
    assert code.is_used


def test_the_port_is_open_only_while_somebody_is_invited(host: Host) -> None:
    assert host.port is None
    code = host.open_code("member")
    at = _at(host)
    assert host.port is not None
    join_by_code(code.text(), at=at, name="anna")
    eventually(lambda: host.port is None, "the port is closed")
    with pytest.raises(JoinRefused, match="nobody answers"):
        join_by_code(code.text(), at=at, name="ben", cluster="lab-2")


def test_a_token_is_taken_once(host: Host, account: Account) -> None:
    token, other = host.invite("member", 1, 60.0), host.invite("member", 1, 60.0)
    join_by_token(token, name="anna")
    account("ben")
    with pytest.raises(JoinRefused, match="nameserver invite"):
        join_by_token(token, name="ben")
    assert join_by_token(other, name="ben").identity.subject == "ben"


def test_one_token_may_invite_a_classroom(host: Host, account: Account) -> None:
    token = host.invite("slave", 3, 60.0)
    for name in ("anna", "ben", "cleo"):
        account(name)
        join_by_token(token, name=name)
    nodes = {member.node for member in host.office.members().members}
    assert len(nodes) == 4
    eventually(lambda: host.port is None, "the port is closed")


def test_a_token_ends(host: Host) -> None:
    token = host.invite("member", 1, 0.05)
    host.invite("member", 1, 60.0)  # so that the port is open
    eventually(lambda: not _is_listed(host, token.number), "the token has ended")
    with pytest.raises(JoinRefused, match="has ended"):
        join_by_token(token, name="anna")


def _is_listed(host: Host, number: bytes) -> bool:
    path = host._store.directory / "invitations.json"
    return number.hex() in path.read_text()


def test_invitations_survive_the_host(host: Host, account: Account) -> None:
    token = host.invite("member", 1, 60.0)
    port, store = host.port, host._store
    host.close()
    anew = Host(store, "127.0.0.1", port=port, hosts=lambda: ["127.0.0.1"], announce=False)
    with contextlib.closing(anew):
        assert join_by_token(token, name="anna").identity.subject == "anna"


def test_what_was_withdrawn_is_not_taken(host: Host) -> None:
    token = host.invite("member", 5, 60.0)
    assert host.withdraw() == 1
    assert host.port is None
    with pytest.raises(JoinRefused, match="nobody answers"):
        join_by_token(token, name="anna")


def test_twenty_wrong_codes_and_the_right_one_is_dead(host: Host) -> None:
    code = host.open_code("member")
    host.invite("member", 1, 60.0)  # the port stays open, so that it is the code that is dead
    at = _at(host)
    wrong = [f"{(int(code.digits) + n) % 1_000_000:06}" for n in range(1, 21)]
    said = []
    for each in wrong:
        with pytest.raises(JoinRefused) as caught:
            join_by_code(each, at=at, name="anna")
        said.append(str(caught.value))
    assert sum("this is not the code" in each for each in said) == 3
    assert all("no code is open" in each for each in said[3:])
    with pytest.raises(JoinRefused, match="no code is open"):
        join_by_code(code.text(), at=at, name="anna")
    assert len(host.office.members().members) == 1


def test_an_account_joins_a_cluster_of_one_name_once(host: Host) -> None:
    join_by_token(host.invite("member", 1, 60.0), name="anna")
    with pytest.raises(JoinRefused, match="nameserver leave"):
        join_by_token(host.invite("member", 1, 60.0), name="anna")
    with pytest.raises(JoinRefused, match="nameserver leave"):
        join_by_code(host.open_code("member").text(), at=_at(host), name="anna")
    assert len(host.office.members().members) == 2


def test_a_clock_that_is_wrong_is_named_before_anything_is_used_up(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = host.invite("member", 1, 60.0)
    with monkeypatch.context() as patch:
        patch.setattr("nameserver.pairing.joining.time.time", lambda: 60.0)
        patch.setattr("nameserver.pairing.host_side.HostSide.greet", _greet_now)
        with pytest.raises(JoinRefused, match=r"1970-01-01 00:01 UTC.*timedatectl"):
            join_by_token(token, name="pi")
    assert join_by_token(token, name="pi").identity.subject == "pi"


def _greet_now(side: object) -> object:
    from nameserver.pairing.messages import VERSION, Hello

    return Hello(VERSION, NOW, side._ca, side._cluster)


NOW = time.time()


def test_who_used_up_the_last_token_hears_of_it_though_the_port_closes(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    issue = host._desk.issue

    def issue_slowly(*given: str) -> object:
        eventually(lambda: host.port is None, "the port is closed")
        return issue(*given)

    monkeypatch.setattr(host._desk, "issue", issue_slowly)
    token = host.invite("member", 1, 60.0)
    assert join_by_token(token, name="anna").identity.subject == "anna"
