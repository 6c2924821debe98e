"""What an authority signs is what is read; what was changed, or is another's, is refused."""

from __future__ import annotations

import base64
import copy
import pickle
import string
import traceback
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from remoteobj import BadInput, Identity, IdentityUnusable, NotSendable
from remoteobj.errors import PeerRefused
from remoteobj.identity import ROLES, Claims
from remoteobj.identity.authority import Authority
from remoteobj.identity.checking import check_issued
from remoteobj.identity.request import common_name, key_hash_in, make_request
from remoteobj.identity.secret import Secret

NOW = 1_800_000_000.0
DAY_S = 86400.0
NODE = "0123456789abcdef"
LAB = Authority.create("lab", NOW)
KEY, REQUEST = make_request("anna")


def signed(authority: Authority = LAB, **changed: object) -> bytes:
    options = {"node": NODE, "name": "anna", "role": "slave", "now": NOW, **changed}
    return authority.sign(REQUEST, **options)


def der_of(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


nodes = st.text("0123456789abcdef", min_size=16, max_size=16)
names = st.text(min_size=1, max_size=64).filter(
    lambda name: name.isprintable() and len(name.encode()) <= 64
)


@given(nodes, names, st.sampled_from(ROLES), st.floats(0.1, 3000))
@settings(deadline=None)
def test_what_was_signed_is_read(node: str, name: str, role: str, days: float) -> None:
    pem = signed(node=node, name=name, role=role, days=days)
    serial = f"{x509.load_pem_x509_certificate(pem).serial_number:x}"
    for moment in (NOW - 3600, NOW, NOW + days * DAY_S - 1):
        claims = check_issued(der_of(pem), LAB.certificate_pem, moment)
        assert claims == Claims(node, role, name, serial)
    for moment in (NOW - 3602, NOW + days * DAY_S + 1):
        with pytest.raises(PeerRefused, match="by this machine's clock it is"):
            check_issued(der_of(pem), LAB.certificate_pem, moment)


def test_tls_reads_the_same(tmp_path: Path) -> None:
    now = datetime.now(UTC).timestamp()
    authority = Authority.create("lab", now)
    pem = authority.sign(REQUEST, node=NODE, name="Änne's Mac", role="operator", now=now)
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "node.pem").touch(mode=0o600)
    (tmp_path / "node.pem").write_bytes(pem + KEY.reveal())
    identity = Identity.from_files(
        tmp_path / "ca.pem", tmp_path / "node.pem", tmp_path / "node.pem"
    )
    assert identity.claims == check_issued(der_of(pem), authority.certificate_pem, now)
    assert identity.claims.role == "operator"
    assert identity.subject == identity.claims.name == "Änne's Mac"
    assert identity.ca_fingerprint == authority.fingerprint


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_a_changed_bit_is_refused(data: st.DataObject) -> None:
    """Outside of what is signed, DER has three bits that say nothing: then all is as before."""
    bit = data.draw(st.integers(0, len(DER) * 8 - 1))
    changed = bytearray(DER)
    changed[bit // 8] ^= 1 << bit % 8
    is_signed = DER.index(SIGNED) <= bit // 8 < DER.index(SIGNED) + len(SIGNED)
    try:
        claims = check_issued(bytes(changed), LAB.certificate_pem, NOW)
    except PeerRefused:
        return
    assert not is_signed
    assert claims == check_issued(DER, LAB.certificate_pem, NOW)


DER = der_of(signed())
SIGNED = x509.load_der_x509_certificate(DER).tbs_certificate_bytes


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_any_bytes_are_refused_in_words(junk: bytes) -> None:
    with pytest.raises(PeerRefused):
        check_issued(junk, LAB.certificate_pem, NOW)
    with pytest.raises(IdentityUnusable):
        check_issued(DER, junk, NOW)
    with pytest.raises(BadInput):
        key_hash_in(junk)
    with pytest.raises(IdentityUnusable):
        Authority.from_pem(junk, LAB.certificate_pem)


def test_another_clusters_certificate() -> None:
    other = Authority.create("lab", NOW)  # called the same
    with pytest.raises(PeerRefused, match="not issued by this cluster's authority"):
        check_issued(der_of(signed(other)), LAB.certificate_pem, NOW)
    with pytest.raises(PeerRefused, match="is a CA's, and no machine's"):
        check_issued(der_of(LAB.certificate_pem), LAB.certificate_pem, NOW)
    with pytest.raises(IdentityUnusable, match="can sign for nobody"):
        check_issued(DER, signed(), NOW)


def test_an_authority_is_taken_up_again() -> None:
    again = Authority.from_pem(LAB.key_pem, LAB.certificate_pem)
    assert (again.cluster, again.fingerprint) == ("lab", LAB.fingerprint)
    assert check_issued(der_of(signed(again)), LAB.certificate_pem, NOW).node == NODE
    other = Authority.create("lab", NOW)
    with pytest.raises(IdentityUnusable, match="take both from one backup"):
        Authority.from_pem(other.key_pem, LAB.certificate_pem)
    with pytest.raises(IdentityUnusable, match=r"give ca\.key"):
        Authority.from_pem(KEY, signed())


def test_a_clock_that_is_wrong_is_named() -> None:
    for act in (lambda: Authority.create("lab", 0.0), lambda: signed(now=1000.0)):
        with pytest.raises(BadInput, match=r"it is 1970-01-01 .* set the clock first"):
            act()
    for moment in (NOW - 2 * DAY_S, NOW + 8000 * DAY_S):
        with pytest.raises(BadInput, match="set the clock, or make a new cluster"):
            signed(now=moment)
    last = NOW + 20 * 365 * DAY_S
    pem = signed(now=last - DAY_S)  # nothing outlives its authority
    assert x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp() == last


@pytest.mark.parametrize(
    "changed",
    [
        {"node": NODE.upper()},
        {"node": NODE + "0"},
        {"role": "root"},
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 65},
        {"name": "ö" * 33},
        {"name": "\ud800"},
        {"days": 0},
    ],
)
def test_what_it_does_not_sign(changed: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        signed(**changed)


def test_requests_that_are_refused() -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(common_name("anna"))
    for key in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)):
        with pytest.raises(BadInput, match="not of ECDSA with P-256"):
            key_hash_in(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    der = bytearray(x509.load_pem_x509_csr(REQUEST).public_bytes(Encoding.DER))
    der[-1] ^= 1
    forged = b"-----BEGIN CERTIFICATE REQUEST-----\n%s-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(BadInput, match="not signed by its own key"):
        key_hash_in(forged % base64.encodebytes(bytes(der)))
    with pytest.raises(BadInput, match="bytes at most"):
        key_hash_in(REQUEST + b" " * 10000)
    assert len(key_hash_in(REQUEST)) == 32
    assert key_hash_in(REQUEST) != key_hash_in(make_request("anna")[1])


def test_keys_do_not_show() -> None:
    lines = [*LAB.key_pem.reveal().splitlines()[1:3], *KEY.reveal().splitlines()[1:3]]
    shown = repr((LAB, LAB.key_pem, KEY, REQUEST)) + f"{LAB} {KEY}" + repr(vars(Authority))
    try:
        Authority.from_pem(KEY, LAB.certificate_pem)
    except IdentityUnusable as error:
        inner = error.with_traceback(error.__traceback__.tb_next)
        told = traceback.TracebackException.from_exception(inner, capture_locals=True)
        shown += "".join(told.format())
    assert not [line for line in lines if line.decode() in shown]
    for holder in (LAB, KEY, LAB.key_pem):
        for carry in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(NotSendable):
                carry(holder)
    with pytest.raises(TypeError):
        hash(KEY)
    assert KEY == Secret(KEY.reveal()) != LAB.key_pem
    assert KEY.reveal() != KEY
    assert set(string.printable) > set(repr(KEY))
