"""What certificates claim: roles in their order, nodes, and what no authority signs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remoteobj import BadInput
from remoteobj.errors import PeerRefused
from remoteobj.identity import ROLES, Claims, at_least, claims_in
from remoteobj.identity.renewal import due, due_at

NODE = "0123456789abcdef"


def certificate(*uris: str, serial: str = "0A1B") -> dict[str, Any]:
    return {
        "subject": ((("commonName", "anna"),),),
        "issuer": ((("organizationName", "Werk"),), (("commonName", "lab"),)),
        "serialNumber": serial,
        "subjectAltName": (("DNS", "anna"), *(("URI", uri) for uri in uris)),
    }


def test_roles_are_ordered() -> None:
    for number, role in enumerate(ROLES):
        assert [at_least(role, needed) for needed in ROLES] == [
            place <= number for place in range(len(ROLES))
        ]
    for wrong in (("root", "slave"), ("slave", ""), ("slave", None)):
        with pytest.raises(BadInput, match="give one of slave, member, operator"):
            at_least(*wrong)


def test_one_uri_says_it() -> None:
    seen = claims_in(certificate("https://example.org/", f"remoteobj:node:{NODE}:operator"))
    assert seen == Claims(NODE, "operator", "anna", "a1b")


def test_a_ca_made_by_hand_signs_for_members() -> None:
    seen = claims_in(certificate())
    assert seen == claims_in(certificate("https://example.org/", serial="00000A1B"))
    assert (seen.role, seen.name, len(seen.node)) == ("member", "anna", 16)
    assert claims_in(certificate(serial="0A1C")).node != seen.node
    other = {**certificate(), "issuer": ((("commonName", "lab"),),)}
    assert claims_in(other).node != seen.node


@pytest.mark.parametrize(
    "uri",
    [
        f"remoteobj:node:{NODE}:root",
        f"remoteobj:node:{NODE}:operator ",
        f"remoteobj:node:{NODE}:operator\n",
        f"remoteobj:node:{NODE}",
        f"remoteobj:node:{NODE[1:]}:slave",
        f"remoteobj:node:{NODE.upper()}:slave",
        f"REMOTEOBJ:node:{NODE}:operator",
        f"remoteobj:node:{NODE}:operator\0:slave",
        "remoteobj:",
        "remoteobj:later:something",
    ],
)
def test_what_cannot_be_read_is_no_member(uri: str) -> None:
    with pytest.raises(PeerRefused, match="names no node in a role"):
        claims_in(certificate(uri))


def test_two_of_them_are_refused() -> None:
    slave, operator = (f"remoteobj:node:{NODE}:{role}" for role in ("slave", "operator"))
    for both in ((slave, operator), (operator, operator), (slave, "remoteobj:x")):
        with pytest.raises(PeerRefused, match="says 2 times which node"):
            claims_in(certificate(*both))


@given(st.text())
def test_any_text_is_a_claim_or_refused(uri: str) -> None:
    for text in (uri, f"remoteobj:{uri}", f"remoteobj:node:{NODE}:{uri}"):
        try:
            seen = claims_in(certificate(text))
        except PeerRefused:
            continue
        assert seen.role == "member" or text == f"remoteobj:node:{NODE}:{seen.role}"


def test_renewal_is_due_after_two_thirds() -> None:
    assert due_at(100.0, 400.0) == 300.0
    assert [due(100.0, 400.0, now) for now in (0, 299, 300, 500)] == [False, False, True, True]
