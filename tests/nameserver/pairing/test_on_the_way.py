"""Somebody on the way of a join: records it and says it again, or changes what is on the wire.

And tokens that are used again, too late, or with another character, as they are typed.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import string
import threading
import time
from collections.abc import Callable

import msgspec
import pytest

from nameserver.errors import BadToken, JoinRefused
from nameserver.pairing.guessing import GuestKey, HostKey
from nameserver.pairing.host import Host
from nameserver.pairing.joining import join_by_code, join_by_token
from nameserver.pairing.messages import VERSION, Hello, encode
from nameserver.pairing.token import Token, read_token
from remoteobj.identity.store import Store
from tests.answering import PATIENCE_S, Answering
from tests.conftest import eventually
from tests.nameserver.pairing.accounts import Account
from tests.nameserver.pairing.halls import Hall, said_on
from tests.nameserver.pairing.middle import Middle

GUEST, HOST = 0, 1
Change = Callable[[int, int, bytes], bytes]


class Wire(Answering):
    """Passes bytes on between a guest and the host, and keeps them.

    Args:
        port: Of the host.
        change: Makes what is passed on of what came: who said it, how much it has said before, and
            the bytes.
    """

    def __init__(self, port: int, change: Change = lambda who, before, data: data) -> None:
        self.said = [bytearray(), bytearray()]
        self._target, self._change = port, change
        super().__init__()

    def answer(self, caller: socket.socket) -> None:
        caller.settimeout(None)
        with socket.create_connection(("127.0.0.1", self._target), PATIENCE_S) as host:
            back = threading.Thread(target=self._pass, args=(HOST, host, caller))
            back.start()
            self._pass(GUEST, caller, host)
            back.join()

    def _pass(self, who: int, source: socket.socket, target: socket.socket) -> None:
        said = self.said[who]
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                changed = self._change(who, len(said), data)
                said += data
                target.sendall(changed)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


def through(token: Token, wire: Wire) -> Token:
    return msgspec.structs.replace(token, port=wire.port)


def members(host: Host) -> list[str]:
    return [each.name for each in host.office.members().members]


def heard_again(host: Host, said: bytes) -> bytes:
    """Say recorded bytes to the host again; returns all that it answers."""
    heard = b""
    with socket.create_connection(("127.0.0.1", host.port or 0), PATIENCE_S) as sock:
        sock.settimeout(PATIENCE_S)
        with contextlib.suppress(ConnectionError):
            sock.sendall(said)
            with contextlib.suppress(OSError):  # the host has closed it
                sock.shutdown(socket.SHUT_WR)  # a record cut short would be waited for, silently
            while data := sock.recv(65536):
                heard += data
    return heard


@pytest.fixture(params=["token", "code"])
def recorded(request: pytest.FixtureRequest, host: Host) -> bytes:
    """All that a guest has said in a join that has succeeded, as it was on the wire."""
    token = host.invite("operator", 3, 60.0)
    with Wire(host.port or 0) as wire:
        if request.param == "token":
            join_by_token(through(token, wire), name="anna")
        else:
            code = host.open_code("operator")
            join_by_code(code.text(), at=f"127.0.0.1:{wire.port}", name="anna")
    return bytes(wire.said[GUEST])


def test_a_join_that_was_recorded_is_good_for_nothing(host: Host, recorded: bytes) -> None:
    """The token would be good for two more, and another code is open."""
    assert len(recorded) > 500
    host.open_code("operator")
    before = members(host)
    left = [each.left for each in host._desk._invitations.kept()]
    for said in (recorded, recorded * 2, recorded[:517], recorded[300:]):
        for _ in range(2):
            heard = heard_again(host, said)
            while heard:  # handshake, and an alert: what is inside can be read by nobody
                assert heard[0] in (20, 21, 22, 23)
                heard = heard[5 + int.from_bytes(heard[3:5], "big") :]
    assert members(host) == before
    assert [each.left for each in host._desk._invitations.kept()] == left
    code = host._desk.code()
    assert code is not None
    assert code.attempts == 0


def changing(who: int, at: int) -> Change:
    """Return what changes one bit of the byte that one of them says there."""

    def change(speaker: int, before: int, data: bytes) -> bytes:
        if speaker != who or not before <= at < before + len(data):
            return data
        changed = bytearray(data)
        changed[at - before] ^= 1 << at % 8
        return bytes(changed)

    return change


def test_one_byte_that_was_changed_on_the_way_ends_the_join(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any place of either side: nobody comes to another certificate, cluster or role."""
    for module in ("service", "joining"):  # who waits for the rest of a record waits in vain
        monkeypatch.setattr(f"nameserver.pairing.{module}.CONVERSATION_S", 1.0)
    token = host.invite("slave", 1000, 60.0)
    with Wire(host.port or 0) as wire:
        join_by_token(through(token, wire), name="anna", cluster="true")
    for who in (GUEST, HOST):
        for at in range(0, len(wire.said[who]) - 64, 41):  # the last record may be a goodbye
            with Wire(host.port or 0, changing(who, at)) as worse, pytest.raises(JoinRefused):
                join_by_token(through(token, worse), name="ben", cluster="wrong")
            assert not Store.named("wrong").is_paired


def test_a_code_gives_a_key_to_who_has_seen_the_same_alone() -> None:
    """Certificate and request are in it: who shows or asks for another one has another key."""
    seen = [(host, request) for host in (b"true", b"mine") for request in (b"hers", b"mine")]
    for mine in seen:
        for theirs in seen:
            guest, host = GuestKey("481223", *mine), HostKey("481223", *theirs)
            guest.agree(host.element)
            host.agree(guest.element)
            assert host.is_proof(guest.proof()) == (mine == theirs)
            proof = host.proof(b"ca", b"certificate")
            if mine == theirs:
                guest.check(proof, b"ca", b"certificate")
                for said in ((b"other", b"certificate"), (b"ca", b"other")):
                    with pytest.raises(JoinRefused):
                        guest.check(proof, *said)
            else:
                with pytest.raises(JoinRefused):
                    guest.check(proof, b"ca", b"certificate")


def test_a_guest_speaks_no_old_tls_and_nothing_plainly(host: Host) -> None:
    token, identity = host.invite("operator", 1, 60.0), host._store.identity_path
    with Middle(host.port or 0, identity) as middle:  # even with the host's own certificate
        middle._context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(JoinRefused, match=r"(?i)protocol.version"):
            join_by_token(msgspec.structs.replace(token, port=middle.port), name="anna")
        assert middle.heard == b""
    heard: list[bytes] = []

    def answer_plainly(listener: socket.socket) -> None:
        for said in (b"HTTP/1.1 400 Bad Request\r\n\r\n", hello):
            sock, _ = listener.accept()
            with sock, contextlib.suppress(OSError):
                sock.sendall(said)
                while data := sock.recv(65536):
                    heard.append(data)

    hello = encode(Hello(VERSION, time.time(), host.office.ca_pem, "lab"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_plainly, args=(listener,))
        thread.start()
        for _ in range(2):
            with pytest.raises(JoinRefused):
                meant = msgspec.structs.replace(token, port=listener.getsockname()[1])
                join_by_token(meant, name="anna")
        thread.join()
    assert token.secret not in b"".join(heard)
    assert join_by_token(token, name="anna").identity.claims.role == "operator"


# Tokens, as they are typed.


def test_each_character_of_a_token_matters() -> None:
    text = Token(bytes(range(32)), b"1234", bytes(16), "lab", 9091, ["192.168.1.7"]).text()
    tried = 0
    for at in range(len(text)):
        for other in (string.ascii_letters + string.digits + "-_+/=.").replace(text[at], ""):
            with pytest.raises(BadToken):
                read_token(text[:at] + other + text[at + 1 :])
            tried += 1
    assert tried == 67 * len(text)


def test_a_token_is_typed_with_another_character_twice_and_too_late(
    hall: Hall, account: Account
) -> None:
    token, late = hall.token(), hall.token("--expires", "1s")
    ends = time.time() + 1.0
    hall.token()  # so that the port stays open
    account("anna")
    for at in (0, 5, len(token) // 2, len(token) - 1):
        other = "x" if token[at] != "x" else "y"
        said = said_on(token[:at] + other + token[at + 1 :], "join")
        assert said.code == 2
        assert "token" in said.err
        assert token[8:40] not in said.err + said.out
    assert said_on(token, "join").code == 0
    account("ben")
    said = said_on(token, "join")
    assert said.code == 1
    assert "the token is not taken here (any more): it was used" in said.err
    eventually(lambda: time.time() > ends, "it has ended")
    said = said_on(late, "join")
    assert said.code == 1
    assert "ended" in said.err
    account("hall")
    assert len(hall.members()) == 2


def test_a_wrong_code_is_typed_20_times(hall: Hall, account: Account) -> None:
    hall.token()  # so that the port stays open
    host = hall.host
    code = host.open_code("operator")
    account("anna")
    at = ("--at", f"127.0.0.1:{host.port}")
    for number in range(1, 21):
        wrong = f"{(int(code.digits) + number) % 1_000_000:06}"
        said = said_on(wrong, "join", "--code", "-", *at)
        assert said.code == 1
        wanted = "this is not the code" if number <= 3 else "no code is open"
        assert wanted in said.err, number
        assert code.digits not in said.err
    said = said_on(code.digits, "join", "--code", "-", *at)
    assert said.code == 1
    account("hall")
    assert [each["name"] for each in hall.members()] == ["hall"]
