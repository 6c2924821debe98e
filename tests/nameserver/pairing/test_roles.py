"""What a certificate is not good for where machines join, are invited and put out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from nameserver import NameServer
from nameserver.errors import JoinRefused
from nameserver.pairing.authority import AuthorityService
from nameserver.pairing.host import Host
from nameserver.pairing.joining import join_by_code, join_by_token
from nameserver.pairing.messages import Ask, Issued, encode
from nameserver.pairing.presence import AUTHORITY, revoked_tag
from nameserver.record import NAME_SERVER
from remoteobj import Identity, NotAllowed, Proxy, expose
from remoteobj.exposing import role_of
from remoteobj.identity.authority import Authority
from remoteobj.identity.checking import check_issued
from remoteobj.identity.claims import node_uri
from remoteobj.identity.request import make_request
from remoteobj.identity.store import Store
from tests.nameserver.command import command
from tests.nameserver.pairing.accounts import Account
from tests.nameserver.pairing.halls import Hall
from tests.nameserver.pairing.middle import Middle, Stranger

OF_OPERATORS = ("invite", "open_code", "code_state", "close_code", "withdraw", "members", "revoke")


def joined(host: Host, account: Account, role: str) -> Store:
    """Make a machine of this role, whose account nobody is in any more afterwards."""
    account(role)
    join_by_token(host.invite(role, 1, 60.0), name=f"a-{role}")
    store = Store.of("lab")
    account("anna")
    return store


@pytest.mark.parametrize("role", ["slave", "member"])
def test_nothing_of_operators_is_for_others(hall: Hall, account: Account, role: str) -> None:
    methods = [name for name in vars(AuthorityService) if not name.startswith("_")]
    assert {name for name in methods if role_of(AuthorityService, name) == "operator"} == {
        *OF_OPERATORS
    }
    host = hall.host
    identity = Identity.from_files(*_files(joined(host, account, role)))
    before = [each.name for each in host.office.members().members]
    code = host.open_code("slave")
    with Proxy(hall.authority, identity=identity) as authority:
        for name in OF_OPERATORS:
            for args in ((), ("operator",), (code.text(),), ("hall",)):
                with pytest.raises(NotAllowed, match="for peers of role 'operator'"):
                    authority._channel.call(name, args, {}, 5.0)
    assert host.code_state(code.text())["open"]
    assert [each.name for each in host.office.members().members] == before


def _files(store: Store) -> tuple[Path, Path, Path]:
    return store.ca_path, store.identity_path, store.identity_path


# Requests that ask for more.


def greedy_request() -> bytes:
    """Return a request that says which node it would like to be, in which role, and a CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName(
        [x509.UniformResourceIdentifier(node_uri("0" * 16, "operator"))]
    )
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hall")]))
        .add_extension(names, critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=3), critical=True)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def claims_of(pem: bytes, ca: bytes) -> Any:
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    return check_issued(der, ca, time.time())  # which refuses a CA's


def test_a_request_gets_the_role_of_its_token_whatever_it_says(host: Host) -> None:
    token = host.invite("slave", 1, 60.0)
    with Stranger(host.port or 0) as guest:
        issued = guest.says(encode(Ask(token.number, token.secret, greedy_request(), "anna")))
    assert isinstance(issued, Issued)
    claims = claims_of(issued.certificate, host.office.ca_pem)
    assert (claims.role, claims.name) == ("slave", "anna")
    assert claims.node != "0" * 16


def test_a_renewal_keeps_role_name_and_node_whatever_it_says(hall: Hall, account: Account) -> None:
    host = hall.host
    slave = Identity.from_files(*_files(joined(host, account, "slave")))
    with Proxy(hall.authority, identity=slave) as authority:
        claims = claims_of(bytes(authority.renew(greedy_request())), host.office.ca_pem)
    assert (claims.role, claims.name, claims.node) == ("slave", "a-slave", slave.claims.node)


# Who poses as the host: it is an operator's machine, and no other.


@pytest.mark.parametrize("role", ["slave", "member"])
def test_no_other_machine_of_the_cluster_is_its_host(
    host: Host, account: Account, role: str
) -> None:
    """Else a member in the way would learn an operator's token."""
    poser = joined(host, account, role)
    token = host.invite("operator", 1, 60.0)
    with Middle(host.port or 0, poser.identity_path) as middle:
        with pytest.raises(JoinRefused, match=f"only a {role} of this cluster"):
            join_by_token(msgspec.structs.replace(token, port=middle.port), name="ben")
        assert middle.heard == b""
    assert join_by_token(token, name="ben").identity.claims.role == "operator"


def test_a_certificate_that_has_ended_or_is_its_own_is_no_hosts(host: Host, tmp_path: Path) -> None:
    token = host.invite("operator", 1, 60.0)
    authority, now = host._store.authority(), time.time()
    assert authority is not None
    posing = (
        (authority, now - 1800, "expired at"),
        (Authority.create("lab", now), now, "was not issued by this cluster's authority"),
    )
    for number, (signer, then, why) in enumerate(posing):
        key, request = make_request("hall")
        days = 900 / 86400
        pem = signer.sign(request, node="1" * 16, name="hall", role="operator", now=then, days=days)
        path = tmp_path / f"posing{number}.pem"
        path.write_bytes(pem + key.reveal())
        with Middle(host.port or 0, path) as middle:
            meant = msgspec.structs.replace(token, port=middle.port)
            with pytest.raises(JoinRefused, match=f"not the host that was meant.*{why}"):
                join_by_token(meant, name="anna")
            code = host.open_code("member")
            with pytest.raises(JoinRefused, match="not the code, or somebody between"):
                join_by_code(code.text(), at=f"127.0.0.1:{middle.port}", name="anna")
            assert token.secret not in middle.heard
    assert not Store.named("lab").is_paired


# Who poses as the authority.


class Forger:
    """What a name server of a member's could publish as the authority: all may call all of it."""

    def __init__(self, token: str) -> None:
        self._token = token
        self.asked: list[str] = []

    @expose(role="slave")
    def invite(self, role: str, uses: int, seconds: float) -> str:
        self.asked.append("invite")
        return self._token

    @expose(role="slave")
    def open_code(self, role: str) -> dict[str, Any]:
        self.asked.append("open_code")
        return {"code": "123-456", "seconds": 60.0, "addresses": ["192.0.2.1:9"]}

    @expose(role="slave")
    def members(self) -> list[dict[str, Any]]:
        self.asked.append("members")
        return []

    @expose(role="slave")
    def revoke(self, node: str) -> dict[str, Any]:
        self.asked.append("revoke")
        return {"node": "0" * 16, "name": node, "role": "slave"}

    @expose(role="slave")
    def withdraw(self) -> int:
        self.asked.append("withdraw")
        return 1


@pytest.fixture
def forger(hall: Hall, account: Account) -> Iterator[tuple[Forger, str]]:
    """A member's name server that says that it has the authority; and where it is."""
    host = hall.host
    other = Authority.create("lab", time.time())
    token = msgspec.structs.replace(
        host.invite("slave", 1, 60.0), fingerprint=bytes.fromhex(other.fingerprint)
    )
    ben = Identity.from_files(*_files(joined(host, account, "member")))
    account("hall")
    forger = Forger(token.text())
    with NameServer("127.0.0.1", identity=ben, announce=False) as server:
        server._book.set_metadata(NAME_SERVER, {revoked_tag(0)})
        server._daemon.register(forger, AUTHORITY)
        yield forger, server.address


@pytest.mark.parametrize(
    "typed",
    [("invite",), ("invite", "--withdraw"), ("members",), ("revoke", "anna", "--yes"), ("pair",)],
    ids="-".join,
)
def test_no_member_poses_as_the_authority(
    forger: tuple[Forger, str], typed: tuple[str, ...]
) -> None:
    """Else an operator would hand out tokens that lead to somebody else's cluster."""
    poser, address = forger
    said = command(*typed, "--nameserver", address)
    assert said.code == 1
    assert "in the role 'member', and 'operator' is needed there" in said.err
    assert "rj1-" not in said.out
    assert poser.asked == []
