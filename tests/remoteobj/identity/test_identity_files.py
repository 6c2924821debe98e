"""An identity is read once and proves itself; what is wrong with its files is said in words."""

from __future__ import annotations

import copy
import os
import pickle
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from servants import StartScript

from remoteobj import BadInput, IdentityUnusable, NotSendable
from remoteobj.identity import Identity
from tests.certificates import HOUR_S, Authority, Files, make_cluster

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")


@pytest.fixture
def cluster(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "cluster")


def why_refused(files: Files) -> str:
    with pytest.raises(IdentityUnusable) as refused:
        Identity.from_files(*files)
    assert isinstance(refused.value, BadInput)  # the command lines' exit code 2
    return str(refused.value)


def test_it_says_who_it_is_and_until_when(cluster: Authority) -> None:
    before = time.time()
    identity = Identity.from_files(*map(str, cluster.node("anna", ends_in_s=5 * HOUR_S)))
    assert identity.subject == "anna"
    assert -1 <= identity.expires.timestamp() - before - 5 * HOUR_S < 60
    assert len(identity.fingerprint) == len(identity.ca_fingerprint) == 64
    assert repr(identity) == f"Identity('anna', expires {identity.expires:%Y-%m-%d %H:%M} UTC)"


def test_it_is_a_key_by_its_content(cluster: Authority, tmp_path: Path) -> None:
    files = cluster.node("anna")
    moved = Files(*(Path(path.rename(tmp_path / path.name)) for path in files))
    identity = Identity.from_files(*moved)
    again = Identity.from_files(*moved)
    assert identity == again
    assert {identity: 1}[again] == 1
    assert identity != Identity.from_files(*make_cluster(tmp_path / "other", ["anna"])["anna"])
    with pytest.raises(AttributeError):
        identity.subject = "bert"


def test_it_does_not_travel(cluster: Authority) -> None:
    identity = Identity.from_files(*cluster.node("anna"))
    for carry in (pickle.dumps, copy.deepcopy):
        with pytest.raises(NotSendable, match="where it is needed"):
            carry(identity)


def test_nothing_shows_the_key(cluster: Authority) -> None:
    files = cluster.node("anna")
    secret = files.key.read_text().splitlines()[1]
    identity = Identity.from_files(*files)
    assert secret not in repr(identity) + repr(vars(Identity))


def test_the_files_are_not_needed_any_more(cluster: Authority) -> None:
    files = cluster.node("anna")
    identity = Identity.from_files(*files)
    for path in files:
        path.unlink()
    assert converse(identity, identity) is None


def test_all_threads_get_the_same_contexts(cluster: Authority) -> None:
    identity = Identity.from_files(*cluster.node("anna"))
    seen: list[tuple[ssl.SSLContext, ssl.SSLContext]] = []
    threads = [
        threading.Thread(
            target=lambda: seen.append((identity.server_context(), identity.client_context()))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1


@pytest.mark.parametrize("side", ["server", "client"])
def test_the_contexts_trust_the_cluster_alone(cluster: Authority, side: str) -> None:
    identity = Identity.from_files(*cluster.node("anna"))
    context = identity.server_context() if side == "server" else identity.client_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert not context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.cert_store_stats() == {"x509": 1, "crl": 0, "x509_ca": 1}
    assert not context.verify_flags & 0x200000  # times are checked
    assert not context.options & ssl.OP_IGNORE_UNEXPECTED_EOF  # a cut is not an end
    for option in (ssl.OP_NO_TICKET, ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION):
        assert context.options & option


def converse(server: Identity, client: Identity) -> ssl.SSLSession | None:
    """Shake hands and say a word each way; returns the session that the client could use again."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller = client.client_context().wrap_bio(to_client, to_server)
    answerer = server.server_context().wrap_bio(to_server, to_client, server_side=True)
    for end in (caller, answerer) * 2:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    caller.write(b"ping")
    assert answerer.read(9) == b"ping"
    answerer.write(b"pong")
    assert caller.read(9) == b"pong"
    assert caller.version() == "TLSv1.3"
    found = caller.session
    return found if found is not None and found.has_ticket else None


def test_no_session_can_be_taken_up_again(tmp_path: Path) -> None:
    files = make_cluster(tmp_path)
    master, slave = (Identity.from_files(*files[name]) for name in ("master", "slave"))
    assert converse(master, slave) is None
    assert converse(slave, master) is None


def test_no_ticket_is_sent_to_those_who_want_one(tmp_path: Path) -> None:
    files = make_cluster(tmp_path)
    master, slave = (Identity.from_files(*files[name]) for name in ("master", "slave"))
    slave.client_context().options &= ~ssl.OP_NO_TICKET
    assert converse(master, slave) is None


@pytest.mark.parametrize("number", [0, 1, 2], ids=Files._fields)
def test_a_file_that_cannot_be_read(cluster: Authority, number: int) -> None:
    files = list(cluster.node("anna"))
    path = files[number]
    text = path.read_bytes()
    path.unlink()
    why = why_refused(Files(*files))
    assert why == (
        f"cannot read {path} (No such file or directory); the order is ca, certificate, key"
    )
    path.mkdir()
    assert why_refused(Files(*files)).startswith(f"cannot read {path} (Is a directory)")
    path.rmdir()
    path.touch(mode=0o600)
    assert why_refused(Files(*files)).startswith(f"{path} is not PEM: it has no '-----BEGIN ")
    path.write_bytes(text[:-40])  # cut in the middle
    assert why_refused(Files(*files)).startswith(f"{path} is not PEM")
    lines = text.splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], *lines[2:]]))
    assert "(damaged): copy it again, or make a new one" in why_refused(Files(*files))


def test_a_name_that_no_file_can_have(cluster: Authority) -> None:
    files = cluster.node("anna")._replace(ca=Path("a\0b"))
    assert "embedded null byte" in why_refused(files)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_a_file_that_may_not_be_read(cluster: Authority) -> None:
    files = cluster.node("anna")
    files.key.chmod(0)
    assert f"cannot read {files.key} (Permission denied)" in why_refused(files)


def test_files_in_another_order(cluster: Authority) -> None:
    ca, certificate, key = cluster.node("anna")
    assert why_refused(Files(ca, key, certificate)) == (
        f"{key} has a PRIVATE KEY where a CERTIFICATE is due; the order is ca, certificate, key"
    )
    assert why_refused(Files(certificate, ca, key)) == (
        f"{certificate} is no CA's certificate, it can sign for nobody; "
        "the order is ca, certificate, key"
    )


def test_one_file_for_certificate_and_key(cluster: Authority) -> None:
    ca, certificate, key = cluster.node("anna")
    key.write_bytes(key.read_bytes() + certificate.read_bytes())
    assert Identity.from_files(ca, key, key).subject == "anna"


def test_words_around_the_certificates_do_no_harm(cluster: Authority) -> None:
    files = cluster.node("anna")
    for path in files[:2]:
        path.write_bytes("Größe: klein\n".encode() + path.read_bytes())
    assert Identity.from_files(*files).subject == "anna"


def test_the_key_of_another(cluster: Authority) -> None:
    files, other = cluster.node("anna"), cluster.node("bert")
    assert why_refused(files._replace(key=other.key)) == (
        f"the key {other.key} does not belong to the certificate {files.certificate}: "
        "give the two that were made together"
    )


def test_a_key_with_a_passphrase_is_not_asked_for(cluster: Authority) -> None:
    files = cluster.node("anna", passphrase=b"secret")
    assert why_refused(files).startswith(f"the key {files.key} has a passphrase")


@posix
@pytest.mark.parametrize("mode", [0o604, 0o644, 0o660, 0o602, 0o601])
def test_a_key_that_others_can_read(cluster: Authority, mode: int) -> None:
    files = cluster.node("anna")
    files.key.chmod(mode)
    assert why_refused(files) == (
        f"others can read or change the key {files.key} (mode {mode:04o}): "
        f"run 'chmod 600 {files.key}', and make a new one if somebody may have read it"
    )
    files.key.chmod(0o400)
    assert Identity.from_files(*files).subject == "anna"


@posix
def test_a_group_may_read_the_key_if_root_says_so(cluster: Authority) -> None:
    files = cluster.node("anna")
    files.key.chmod(0o640)
    if os.geteuid() == 0:
        assert Identity.from_files(*files).subject == "anna"
        os.chown(files.key, 12345, -1)
    assert "(mode 0640)" in why_refused(files)


def test_a_certificate_of_another_ca(cluster: Authority, tmp_path: Path) -> None:
    files = cluster.node("anna")
    foreign = Authority(tmp_path / "other").node("anna")  # a CA of the same name
    assert why_refused(files._replace(ca=foreign.ca)) == (
        f"the certificate {files.certificate} was not signed by the CA {foreign.ca}: "
        "give files of one cluster"
    )


def test_more_cas_than_one(cluster: Authority, tmp_path: Path) -> None:
    files, other = cluster.node("anna"), Authority(tmp_path / "other")
    files.ca.write_bytes(files.ca.read_bytes() + other.certificate.read_bytes())
    assert why_refused(files) == (
        f"{files.ca} has 2 certificates, and whoever any of them signs for would be let in: "
        "give the CA of the cluster alone"
    )


def test_a_certificate_for_servers_only(cluster: Authority) -> None:
    files = cluster.node("anna", is_client=False)
    assert why_refused(files) == (
        f"the certificate {files.certificate} cannot be used: unsuitable certificate purpose; "
        "make a new one that may be used as server and as client"
    )


def test_a_time_that_does_not_fit(cluster: Authority, tmp_path: Path) -> None:
    old = cluster.node("old", ends_in_s=-60)
    why = why_refused(old)
    assert f"the certificate {old.certificate} expired at 20" in why
    assert " UTC: renew it, or set the clock; by this machine's clock it is 20" in why
    new = cluster.node("new", starts_in_s=HOUR_S)
    why = why_refused(new)
    assert f"the certificate {new.certificate} is valid from 20" in why
    assert " UTC on: set the clock, or wait; by this machine's clock it is 20" in why
    late = Authority(tmp_path / "late", ends_in_s=-60).node("anna")
    assert f"the certificate {late.ca} expired at 20" in why_refused(late)


def test_what_is_slow_is_imported_by_those_who_need_it(start_script: StartScript) -> None:
    code = """
import sys
import remoteobj
for name in [name for name in sys.modules if name == "ssl" or "remoteobj.identity" in name]:
    del sys.modules[name]
import remoteobj.identity
print({"ssl", "asyncio", "cryptography", "spake2"} & set(sys.modules))
"""
    process: subprocess.Popen[str] = start_script("-c", code)
    assert process.communicate(timeout=20) == ("set()\n", "")
