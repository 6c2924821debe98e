"""Strangers at the join port, and somebody between guest and host."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Self

import msgspec
import pytest

from nameserver.errors import JoinRefused
from nameserver.pairing.host import Host
from nameserver.pairing.joining import join_by_code, join_by_token
from nameserver.pairing.messages import (
    MOST_BYTES,
    Ask,
    Confirm,
    Guess,
    Hello,
    Issued,
    Message,
    Refused,
    Reply,
    encode,
)
from nameserver.pairing.token import Token
from remoteobj.identity.office import found_cluster
from remoteobj.identity.request import make_request
from remoteobj.identity.store import Store
from tests.conftest import eventually
from tests.nameserver.pairing.accounts import Account
from tests.nameserver.pairing.middle import Middle, Stranger

HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


def _port(host: Host) -> int:
    assert host.port is not None
    return host.port


def _through(token: Token, middle: Middle) -> Token:
    """Return the token as it is where somebody has the host's address."""
    return msgspec.structs.replace(token, port=middle.port)


def _members(host: Host) -> set[str]:
    return {member.name for member in host.office.members().members}


@pytest.fixture
def mallory(host: Host, account: Account) -> Store:
    """A machine of another cluster, which has the same name."""
    account("mallory")
    found_cluster("lab", name="hall", now=time.time())
    store = Store.of("lab")
    account("anna")
    return store


@pytest.fixture
def slave(host: Host, account: Account) -> Store:
    """A slave of this cluster, which poses as its host."""
    account("slave")
    join_by_token(host.invite("slave", 1, 60.0), name="hall-2")
    store = Store.of("lab")
    account("anna")
    return store


def test_who_is_between_learns_no_token(host: Host, mallory: Store) -> None:
    token = host.invite("operator", 1, 60.0)
    with Middle(_port(host), mallory.identity_path) as middle:
        with pytest.raises(JoinRefused, match="not the host that was meant"):
            join_by_token(_through(token, middle), name="anna")
        assert middle.heard == b""
    assert _members(host) == {"hall"}
    assert join_by_token(token, name="anna").identity.claims.role == "operator"


def test_who_poses_as_the_host_with_another_ca_learns_no_token(host: Host, mallory: Store) -> None:
    token = host.invite("operator", 1, 60.0)
    other = Host(mallory, "127.0.0.1", port=0, hosts=lambda: ["127.0.0.1"], announce=False)
    with contextlib.closing(other):
        other.invite("member", 1, 60.0)
        with pytest.raises(JoinRefused, match="not the cluster of the token"):
            join_by_token(msgspec.structs.replace(token, port=_port(other)), name="anna")


def test_a_slave_is_no_host(host: Host, slave: Store) -> None:
    token = host.invite("operator", 1, 60.0)
    with Middle(_port(host), slave.identity_path) as middle:
        with pytest.raises(JoinRefused, match="only a slave of this cluster"):
            join_by_token(_through(token, middle), name="anna")
        assert middle.heard == b""
    assert _members(host) == {"hall", "hall-2"}


@pytest.mark.parametrize("who", ["mallory", "slave"])
def test_who_is_between_gets_nothing_of_a_code(
    host: Host, who: str, request: pytest.FixtureRequest
) -> None:
    between: Store = request.getfixturevalue(who)
    before = _members(host)
    code = host.open_code("operator")
    with (
        Middle(_port(host), between.identity_path) as middle,
        pytest.raises(JoinRefused, match="not the code, or somebody between"),
    ):
        join_by_code(code.text(), at=f"127.0.0.1:{middle.port}", name="anna")
    assert _members(host) == before
    assert not Store.named("lab").is_paired


def test_a_join_that_is_replayed_is_refused(host: Host) -> None:
    token = host.invite("member", 1, 60.0)
    host.invite("member", 1, 60.0)  # so that the port stays open
    _, request = make_request("anna")
    said = encode(Ask(token.number, token.secret, request, "anna"))
    with Stranger(_port(host)) as guest:
        assert isinstance(guest.says(said), Issued)
    with Stranger(_port(host)) as again:
        answer = again.says(said)
        assert isinstance(answer, Refused)
        assert "nameserver invite" in answer.why
        assert again.is_left()
    assert len(host.office.members().members) == 2


def test_a_guess_that_is_replayed_gives_no_key(host: Host) -> None:
    host.open_code("member")
    _, request = make_request("anna")
    said = encode(Guess(b"A" + secrets.token_bytes(32), request, "anna"))
    for _ in range(3):
        with Stranger(_port(host)) as guest:
            answer = guest.says(said)
            if isinstance(answer, Reply):
                assert isinstance(guest.says(encode(Confirm(bytes(32)))), Refused)
    assert _members(host) == {"hall"}


_WRONG: list[Message] = [
    Hello(1, 0.0, b"", "lab"),
    Reply(b"A" * 33),
    Confirm(bytes(32)),
    Issued(b""),
    Refused("no"),
    Ask(b"", b"", b"", ""),
    Ask(bytes(4), bytes(16), b"no request", "anna"),
    Guess(b"", b"", ""),
    Guess(b"A" * 33, b"no request", "x" * 5000),
]


@pytest.mark.parametrize("message", _WRONG, ids=lambda message: type(message).__name__)
def test_a_wrong_first_message_is_the_last_one(host: Host, message: Message) -> None:
    token = host.invite("member", 1, 60.0)
    with Stranger(_port(host)) as guest:
        assert isinstance(guest.hello, Hello)
        assert isinstance(guest.says(encode(message)), Refused)
        assert guest.is_left()
    assert join_by_token(token, name="anna").identity.subject == "anna"


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        (MOST_BYTES + 1).to_bytes(4, "big"),
        bytes(4),
        b"\x00\x00\x00\x05hello",
        b"\x00\x00\x00\x01\x80",
        encode(Refused("x")) * 2,
        b"GET / HTTP/1.1\r\n\r\n",
        secrets.token_bytes(3 * MOST_BYTES),
        b"\x00\x00\x20\x00" + b"\x91" * 0x2000,  # arrays in arrays
    ],
    ids=["4 GiB", "16 KiB and 1", "none", "text", "no tag", "two", "http", "noise", "deep"],
)
def test_what_is_no_message_is_hung_up_on(host: Host, data: bytes) -> None:
    token = host.invite("member", 1, 60.0)
    with Stranger(_port(host)) as guest:
        assert guest.says(data) is None
    assert join_by_token(token, name="anna").identity.subject == "anna"


@pytest.mark.parametrize("part", ["nothing", "handshake", "drops"])
def test_who_is_slow_is_hung_up_on(host: Host, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    monkeypatch.setattr("nameserver.pairing.service.CONVERSATION_S", 0.6)
    host.invite("member", 1, 60.0)
    begins = time.monotonic()
    if part == "drops":
        with Stranger(_port(host)) as guest, contextlib.suppress(OSError):
            guest.socket.settimeout(0.1)
            while time.monotonic() - begins < 10.0:
                guest.socket.sendall(b"\x00")
                with contextlib.suppress(TimeoutError):
                    assert guest.socket.recv(1) == b""
                    break
    else:
        with socket.create_connection(("127.0.0.1", _port(host)), 10.0) as plain:
            if part == "handshake":
                plain.sendall(HALF_A_HELLO)
            with contextlib.suppress(ConnectionResetError):
                while plain.recv(100):
                    pass
    assert time.monotonic() - begins < 5.0


def test_200_connections_keep_nobody_out_and_take_few_threads(host: Host) -> None:
    token = host.invite("member", 1, 60.0)
    before = threading.active_count()
    with contextlib.ExitStack() as held:
        for number in range(200):
            plain = socket.create_connection(("127.0.0.1", _port(host)), 10.0, ("127.0.0.2", 0))
            held.enter_context(plain)
            if number >= 190:
                plain.sendall(HALF_A_HELLO)
        eventually(lambda: _conversations() == 4, "as many as one address may have")
        assert join_by_token(token, name="anna").identity.subject == "anna"
        assert threading.active_count() <= before + 4
    eventually(lambda: _conversations() == 0, "those have ended")


class Flood:
    """Connects from eight addresses, as fast as it can, and holds on to what it gets.

    Args:
        first: What is said on a connection; None: the whole of TLS, and nothing more.
    """

    def __init__(self, port: int, first: bytes | None) -> None:
        self._port, self._first = port, first
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._pour, args=(f"127.0.2.{number}",))
            for number in range(1, 9)
        ]
        self.poured = 0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        try:
            eventually(lambda: self.poured >= 40, "the flood has come")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _pour(self, source: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        held: deque[socket.socket] = deque()
        while not self._is_over.wait(0.005):
            with contextlib.suppress(OSError):
                plain = socket.create_connection(("127.0.0.1", self._port), 1.0, (source, 0))
                held.append(plain)
                if self._first is None:
                    held.append(context.wrap_socket(plain))
                else:
                    plain.sendall(self._first)
            self.poured += 1
            while len(held) > 100:
                held.popleft().close()
        while held:
            held.popleft().close()


@pytest.mark.parametrize(
    "first", [b"", HALF_A_HELLO, b"\x16", None], ids=["silent", "half", "byte", "whole"]
)
def test_a_flood_from_eight_addresses_keeps_no_guest_out(host: Host, first: bytes | None) -> None:
    token = host.invite("member", 5, 60.0)
    with Flood(_port(host), first):
        for number in range(3):
            begun = time.monotonic()
            assert join_by_token(token, name=f"anna-{number}").identity.subject == f"anna-{number}"
            assert time.monotonic() - begun < 5.0
            shutil.rmtree(Store.of("lab").directory)  # another machine comes
        assert _conversations() <= 16 + 4  # some are leaving


def _conversations() -> int:
    return sum(thread.name == "joining" for thread in threading.enumerate())


def test_a_token_of_another_cluster_is_told_to_nobody(
    host: Host, mallory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Ask] = []
    monkeypatch.setattr(host._desk, "admit", asked.append)
    other = Host(mallory, "127.0.0.1", port=0, hosts=lambda: ["127.0.0.1"], announce=False)
    with contextlib.closing(other):
        token = other.invite("member", 1, 60.0)
    host.invite("member", 1, 60.0)
    with pytest.raises(JoinRefused, match="not the cluster of the token"):
        join_by_token(msgspec.structs.replace(token, port=_port(host)), name="anna")
    assert not asked


def test_plain_text_is_answered_with_an_alert_and_no_more(host: Host) -> None:
    token = host.invite("member", 1, 60.0)
    for text in (b"GET / HTTP/1.0\r\n\r\n", b"SSH-2.0-x\r\n", b"PYRO" + bytes(60)):
        with socket.create_connection(("127.0.0.1", _port(host)), 10.0) as plain:
            plain.sendall(text)
            assert len(_all(plain.recv)) <= 16
    assert join_by_token(token, name="anna").identity.subject == "anna"


def _all(recv: Callable[[int], bytes]) -> bytes:
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while data := recv(4096):
            got += data
    return got


def test_tls_1_2_is_refused(host: Host) -> None:
    host.invite("member", 1, 60.0)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", _port(host)), 10.0) as plain,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain)


def test_what_a_stranger_is_told_is_the_first_message_only(host: Host) -> None:
    """The cluster's name, its CA, and the clock; no member, no version of the software."""
    host.invite("member", 1, 60.0)
    with Stranger(_port(host)) as guest:
        assert isinstance(guest.hello, Hello)
        assert guest.hello.cluster == "lab"
        assert guest.hello.ca == host.office.ca_pem
        assert set(guest.hello.__struct_fields__) == {"version", "now", "ca", "cluster"}
