"""A renewed certificate is taken up while connections live; and whose identity "auto" is."""

from __future__ import annotations

import copy
import hashlib
import logging
import pickle
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from remoteobj import BadInput, IdentityUnusable, NotSendable
from remoteobj.identity import AUTO, Identity, choose_identity
from remoteobj.identity.office import Office, found_cluster
from remoteobj.identity.request import make_request
from remoteobj.identity.store import Store
from tests.certificates import Authority, Files


class Server:
    """Says back what it hears, over TLS, to whoever connects."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._talk, args=(sock,)))
            self._threads[-1].start()

    def _talk(self, sock: socket.socket) -> None:
        with sock, self.identity.server_context().wrap_socket(sock, server_side=True) as tls:
            while word := tls.recv(99):
                tls.sendall(word)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(20)


def connect(server: Server, identity: Identity) -> ssl.SSLSocket:
    sock = socket.create_connection(server.address, 20)
    return identity.client_context().wrap_socket(sock)


def seen(tls: ssl.SSLSocket) -> str:
    return hashlib.sha256(tls.getpeercert(binary_form=True) or b"").hexdigest()


def says(tls: ssl.SSLSocket) -> bool:
    tls.sendall(b"hello")
    return tls.recv(99) == b"hello"


@pytest.fixture
def office() -> Office:
    return found_cluster("lab", name="hall", now=time.time())


@pytest.fixture
def server(office: Office) -> Iterator[Server]:
    server = Server(Identity.stored())
    yield server
    server.close()


def renew(office: Office, days: float = 365) -> None:
    key, request = make_request("hall")
    store = Store.of("lab")
    node = store.prove().claims.node
    certificate = office.renew(node, request, now=time.time(), days=days)
    store.save_identity(office.ca_pem, certificate, key)


def test_old_connections_live_on_and_new_ones_see_the_new(office: Office, server: Server) -> None:
    me = server.identity
    first, before, node = me.fingerprint, hash(me), me.claims.node
    told: list[str] = []
    me.on_change(lambda: told.append(me.fingerprint))
    with connect(server, me) as old:
        assert says(old)
        assert not me.reload()
        renew(office)
        with connect(server, me) as same:  # not before it is told
            assert seen(same) == first
        assert me.reload()
        assert told == [me.fingerprint]
        assert (me.fingerprint != first, me.claims.node, hash(me)) == (True, node, before)
        with connect(server, me) as new:
            assert says(new)
            assert seen(new) == me.fingerprint
        assert says(old)
        assert seen(old) == first


def test_renewals_while_many_connect(office: Office, server: Server) -> None:
    """OpenSSL does not stand a context that is changed while threads use it: it is replaced."""
    me, is_over = server.identity, threading.Event()

    def keep_connecting() -> int:
        count = 0
        while not is_over.is_set():
            with connect(server, me) as tls:
                assert says(tls)
            count += 1
        return count

    with ThreadPoolExecutor(4) as threads:
        done = [threads.submit(keep_connecting) for _ in range(4)]
        for _ in range(20):
            renew(office)
            assert me.reload()
        is_over.set()
        assert all(one.result() > 0 for one in done)


def test_it_is_due_after_two_thirds(office: Office) -> None:
    renew(office, days=3)
    identity, now = Identity.stored(), time.time()
    assert not identity.is_due(now)
    assert not identity.is_due(now + 1.9 * 86400)
    assert identity.is_due(now + 2.1 * 86400)


def test_files_made_by_hand_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Authority(tmp_path)
    files = cluster.node("anna")
    monkeypatch.chdir(tmp_path)
    identity = Identity.from_files(*(path.name for path in files))
    monkeypatch.chdir("/")
    first = identity.fingerprint
    cluster.node("anna")
    assert identity.reload()
    assert identity.fingerprint != first
    for path, other in zip(files, Authority(tmp_path / "other").node("ben"), strict=True):
        path.write_bytes(other.read_bytes())
    second = identity.fingerprint
    with pytest.raises(IdentityUnusable, match="another machine's or cluster's now"):
        identity.reload()
    files.key.write_bytes(b"junk")
    with pytest.raises(IdentityUnusable, match="is not PEM"):
        identity.reload()
    assert identity.fingerprint == second
    assert identity.cluster is None


def test_auto_is_one_object_that_follows_the_files(office: Office) -> None:
    one = choose_identity(AUTO)
    assert one is not None
    assert choose_identity(AUTO) is choose_identity(AUTO, cluster="lab") is one
    first = one.fingerprint
    renew(office)
    assert choose_identity(AUTO) is one
    assert one.fingerprint != first
    office.revoke("hall", now=time.time())
    with pytest.raises(IdentityUnusable, match="was revoked"):
        choose_identity(AUTO)
    Store.of("lab").leave(with_authority=True)
    assert choose_identity(AUTO) is None
    found_cluster("lab", name="hall", now=time.time())
    other = choose_identity(AUTO)
    assert other is not None
    assert other.ca_fingerprint != one.ca_fingerprint


def test_what_is_asked_for_goes_before_auto(office: Office, identity: Identity) -> None:
    assert choose_identity(identity) is identity
    assert choose_identity(None) is None
    assert choose_identity(None, insecure=True) is None
    assert choose_identity(AUTO, insecure=True) is None
    assert choose_identity(AUTO, cluster="attic") is None
    with pytest.raises(BadInput, match="give one of them"):
        choose_identity(identity, insecure=True)
    with pytest.raises(BadInput, match="not a str"):
        choose_identity("certain")


def test_nothing_shows_the_key(
    office: Office, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    store, identity = Store.of("lab"), Identity.stored()
    files = Files(*(tmp_path / name for name in Files._fields))
    secrets = [
        line
        for path in (store.identity_path, store.directory / "ca.key")
        for line in path.read_text().partition("PRIVATE KEY-----\n")[2].splitlines()[:2]
    ]
    assert len(secrets) == 4
    holders = [office, store, identity, store.authority(), store.members(), store.prove(), files]
    identity.on_change(lambda: 1 // 0)
    office.revoke("hall", now=time.time())
    identity.note_revoked(office.revocations(now=time.time()).pem)
    shown = repr(holders) + "".join(map(str, holders)) + caplog.text
    assert "a callback of Identity.on_change failed" in shown
    assert not [secret for secret in secrets if secret in shown]
    for holder in (identity, store.authority(), store.prove(), office):
        for carry in (pickle.dumps, copy.deepcopy):
            with pytest.raises((NotSendable, TypeError)):
                carry(holder)
