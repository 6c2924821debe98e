"""The authority at a name server: inviting, revoking and renewing over TLS."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest

from nameserver import NameServer, NameServerNotFound, locate
from nameserver.pairing.joining import join_by_code, join_by_token
from nameserver.pairing.token import read_token
from nameserver.trust import Trust
from remoteobj import Identity, PeerRefused, Proxy
from remoteobj.errors import NotAllowed
from tests.conftest import eventually
from tests.nameserver.pairing.accounts import Account
from tests.nameserver.pairing.halls import Hall


def _join(hall: Hall, account: Account, name: str, role: str = "member") -> Identity:
    with Proxy(hall.authority, identity=hall.identity) as authority:
        token = authority.invite(role, 1, 60.0)
    account(name)
    return join_by_token(read_token(token), name=name).identity


def test_an_operator_invites_and_a_code_says_what_became_of_it(
    hall: Hall, account: Account
) -> None:
    with Proxy(hall.authority, identity=hall.identity) as authority:
        shown = authority.open_code("slave")
        assert authority.code_state(shown["code"]) == {"open": True, "used": False, "attempts": 0}
        account("anna")
        anna = join_by_code(shown["code"], at=shown["addresses"][0], name="anna").identity
        assert anna.claims.role == "slave"
        state = authority.code_state(shown["code"])
        assert (state["open"], state["used"], state["attempts"]) == (False, True, 1)
        names = {(each["name"], each["role"]) for each in authority.members()}
        assert names == {("hall", "operator"), ("anna", "slave")}


@pytest.mark.parametrize("role", ["slave", "member"])
def test_others_than_operators_may_neither_invite_nor_revoke(
    hall: Hall, account: Account, role: str
) -> None:
    other = _join(hall, account, "anna", role)
    with Proxy(hall.authority, identity=other) as authority:
        for act in (
            lambda: authority.invite("operator", 1, 60.0),
            lambda: authority.open_code("operator"),
            lambda: list(authority.members()),
            lambda: authority.revoke("hall"),
        ):
            with pytest.raises(NotAllowed, match="operator"):
                act()
        assert authority.revocations() == b""


def test_who_is_revoked_is_out_everywhere_within_seconds(hall: Hall, account: Account) -> None:
    anna, ben = _join(hall, account, "anna"), _join(hall, account, "ben")
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(locate(hall.server.address, identity=ben))
        stack.enter_context(Trust(ben, client))
        annas = stack.enter_context(locate(hall.server.address, identity=anna))
        annas.ping()
        with Proxy(hall.authority, identity=hall.identity) as authority:
            authority.revoke("anna")
        eventually(lambda: ben.refuses(anna.claims) is not None, "ben has heard of it")
        with pytest.raises(PeerRefused, match="revoked"):
            annas.ping()
        with pytest.raises(NameServerNotFound, match="revoked"):
            locate(hall.server.address, identity=anna)


def test_who_was_away_hears_of_it_when_back(hall: Hall, account: Account) -> None:
    anna, ben = _join(hall, account, "anna"), _join(hall, account, "ben")
    with Proxy(hall.authority, identity=hall.identity) as authority:
        authority.revoke("anna")
    assert ben.refuses(anna.claims) is None
    with locate(hall.server.address, identity=ben) as client, Trust(ben, client):
        eventually(lambda: ben.refuses(anna.claims) is not None, "ben has heard of it")


def test_a_second_name_server_hears_of_it_too(
    hall: Hall, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, ben = _join(hall, account, "anna"), _join(hall, account, "ben")
    monkeypatch.setenv("REMOTEOBJ_NAMESERVER", hall.server.address)
    with (
        NameServer("127.0.0.1", identity=anna) as second,
        locate(second.address, identity=ben) as bens,
    ):
        bens.ping()
        with Proxy(hall.authority, identity=hall.identity) as authority:
            authority.revoke("ben")
        eventually(lambda: anna.refuses(ben.claims) is not None, "the second one has heard of it")
        with pytest.raises(PeerRefused, match="revoked"):
            bens.ping()


def test_the_first_machine_cannot_revoke_itself(hall: Hall) -> None:
    with Proxy(hall.authority, identity=hall.identity) as authority:
        with pytest.raises(ValueError, match="nameserver leave"):
            authority.revoke("hall")
        with pytest.raises(ValueError, match="nameserver members"):
            authority.revoke("nobody")


def test_a_certificate_is_renewed_before_its_end(hall: Hall, account: Account) -> None:
    anna = _join(hall, account, "anna")
    old, until = anna.fingerprint, anna.expires
    soon = (until - timedelta(days=10)).timestamp()
    with locate(hall.server.address, identity=anna) as client, Trust(anna, client, lambda: soon):
        eventually(lambda: anna.fingerprint != old, "the certificate is another one")
        client.ping()
    with Proxy(hall.authority, identity=hall.identity) as authority:
        assert [each["node"] for each in authority.members()][1:] == [anna.claims.node]
    assert Identity.stored("lab").fingerprint == anna.fingerprint
