"""Each certificate that is wrong, at each server there is; and in the place of each server.

What strangers see of ports, and what they say in the clear or in an old TLS, is here too: the same
of a daemon, a name server, the authority, a farm and a slave that gives.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from masterslave import Farm
from masterslave.naming import FarmRecord
from masterslave.slave.agent import Agent
from masterslave.slave.giving import Giver
from masterslave.slave.whose import owner_at
from nameserver import NameServer, NameServerClient, NameServerNotFound, locate
from remoteobj import URI, ConnectionLost, Daemon, Identity, Proxy, expose
from remoteobj.wire import Decoder, Message, MessageType, encode
from tests.answering import Answering
from tests.certificates import Authority, Files
from tests.conftest import eventually

PATIENCE_S = 10.0
HELLO = b"{'handshake': 'hello', 'object': 'Pyro.Daemon'}"
ASKING = b"".join(map(bytes, encode(Message(MessageType.CONNECT, 1, 0, 0, HELLO))))
CALLING = b"".join(
    map(
        bytes,
        encode(Message(MessageType.INVOKE, 1, 0, 1, b"('Pyro.Daemon', 'registered', (), {})")),
    )
)


@expose
class Bell:
    def __init__(self) -> None:
        self.rung = 0

    def ring(self) -> int:
        self.rung += 1
        return self.rung


@dataclass
class Town:
    """A cluster of a member, an operator and a slave; and who is not of it, or not any more."""

    member: Files
    operator: Files
    slave: Files
    wrong: dict[str, Files]
    revoking: bytes

    @property
    def host(self) -> Identity:
        """Who serves, and knows what is revoked."""
        return self._knowing(self.operator)

    @property
    def guest(self) -> Identity:
        """Who calls, and knows what is revoked."""
        return self._knowing(self.member)

    def _knowing(self, files: Files) -> Identity:
        identity = Identity.from_files(*files)
        identity.note_revoked(self.revoking)
        return identity


WRONG = ("another cluster's", "expired", "not yet valid", "revoked", "self-signed",
         "signed by a member", "of two nodes", "none")  # fmt: skip


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    cluster = Authority(tmp_path_factory.mktemp("town"))
    member = cluster.node("member", role="member")
    revoked = cluster.node("revoked", role="operator")
    two = [f"remoteobj:node:{'0' * 16}:slave", f"remoteobj:node:{'1' * 16}:operator"]
    return Town(
        member,
        cluster.node("operator", role="operator"),
        cluster.node("slave", role="slave"),
        {
            "another cluster's": Authority(tmp_path_factory.mktemp("other")).node(
                "operator", role="operator"
            ),
            "expired": cluster.node("expired", role="operator", ends_in_s=-60),
            "not yet valid": cluster.node("early", role="operator", starts_in_s=3600.0),
            "revoked": revoked,
            "self-signed": cluster.self_signed("self", role="operator"),
            "signed by a member": cluster.signed_by(member, "child", role="operator"),
            "of two nodes": cluster.node("two", uris=two),
        },
        cluster.revocations(revoked.certificate),
    )


# In the place of a caller.


class Server:
    """One of the servers there are: where it is, and whether anybody was let in."""

    def __init__(self, uri: URI, calls: Callable[[], int]) -> None:
        self.address = (uri.host or "", uri.port or 0)
        self.calls = calls


@contextlib.contextmanager
def a_daemon(town: Town) -> Iterator[Server]:
    with Daemon("127.0.0.1", identity=town.host) as daemon:
        uri = daemon.register(Bell(), "bell")
        daemon.start()
        yield Server(uri, lambda: daemon.statistics().calls)


@contextlib.contextmanager
def a_name_server(town: Town) -> Iterator[Server]:
    with NameServer("127.0.0.1", identity=town.host, announce=False) as server:
        uri = URI(f"PYRO:Pyro.NameServer@{server.address}")
        yield Server(uri, lambda: server.statistics().calls)


@contextlib.contextmanager
def a_farm(town: Town) -> Iterator[Server]:
    with Farm("test", local_slaves=0, host="127.0.0.1", identity=town.host) as farm:
        yield Server(farm.uri, lambda: farm.statistics().slaves_joined)


@contextlib.contextmanager
def a_giver(town: Town) -> Iterator[Server]:
    giver = Giver("127.0.0.1", identity=town.host)
    with contextlib.closing(giver):
        yield Server(giver.uri, lambda: giver._daemon.statistics().calls)


@pytest.fixture(params=[a_daemon, a_name_server, a_farm, a_giver], ids=lambda make: make.__name__)
def server(request: pytest.FixtureRequest, town: Town) -> Iterator[Server]:
    with request.param(town) as server:
        yield server


def context_of(files: Files | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if files is not None:
        context.load_cert_chain(files.certificate, files.key)
    return context


def heard_inside(address: tuple[str, int], context: ssl.SSLContext) -> bytes:
    """Shake hands, ask and call; returns what came inside of TLS."""
    heard = b""
    with contextlib.suppress(OSError), socket.create_connection(address, PATIENCE_S) as plain:
        plain.settimeout(PATIENCE_S)
        with context.wrap_socket(plain) as tls:
            tls.sendall(ASKING + CALLING)
            while data := tls.recv(65536):
                heard += data
                if heard.count(b"PYRO") == 2:
                    break
    return heard


def test_who_is_of_the_cluster_hears_something(server: Server, town: Town) -> None:
    """So the tests below would see it."""
    assert heard_inside(server.address, context_of(town.member)).count(b"PYRO") == 2
    assert heard_inside(server.address, context_of(town.slave)).startswith(b"PYRO")


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_certificate_hears_nothing(server: Server, town: Town, wrong: str) -> None:
    """But why, where the cluster's CA has signed it and it is good by itself."""
    heard = heard_inside(server.address, context_of(town.wrong.get(wrong)))
    if wrong in ("revoked", "of two nodes"):
        decoder = Decoder(4096)
        decoder.feed(heard)
        message = decoder.next_message()
        assert message is not None
        assert message.type == MessageType.CONNECT_FAIL
        assert b"this peer is not let in: " in bytes(message.payload)
        assert decoder.next_message() is None
        assert len(heard) < 400
    else:
        assert not heard
    assert server.calls() == 0


def test_an_old_tls_hears_nothing(server: Server, town: Town) -> None:
    context = context_of(town.member)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert not heard_inside(server.address, context)
    with (
        socket.create_connection(server.address, PATIENCE_S) as plain,
        pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"),
    ):
        context.wrap_socket(plain)


@pytest.mark.parametrize("said", [ASKING + CALLING, b"GET / HTTP/1.1\r\n\r\n", b"\x80\x05N."])
def test_plain_text_hears_one_sentence_at_most(server: Server, said: bytes) -> None:
    heard = b""
    with socket.create_connection(server.address, PATIENCE_S) as plain:
        plain.settimeout(PATIENCE_S)
        plain.sendall(said)
        with contextlib.suppress(ConnectionError):
            while data := plain.recv(65536):
                heard += data
    sentence = b"TLS is spoken here: give an identity= of this cluster"
    assert not heard or heard[40:].strip(b"'\"").endswith(sentence) or heard[0] == 0x15
    assert server.calls() == 0


# In the place of a server.


class Posing(Answering):
    """Speaks TLS with a certificate that it should not have; keeps what callers say inside."""

    def __init__(self, files: Files, *, is_old: bool = False) -> None:
        self.heard = b""
        self.came = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files.certificate, files.key)
        if is_old:
            self._context.maximum_version = ssl.TLSVersion.TLSv1_2
        super().__init__()
        self.location = f"127.0.0.1:{self.port}"

    def answer(self, caller: socket.socket) -> None:
        self.came += 1
        with self._context.wrap_socket(caller, server_side=True) as tls:
            while data := tls.recv(65536):
                self.heard += data


@pytest.fixture
def posing(town: Town) -> Iterator[Callable[[str], Posing]]:
    with contextlib.ExitStack() as stack:

        def pose(wrong: str) -> Posing:
            right = {"a slave's": town.slave, "an old TLS": town.operator}
            files = right.get(wrong) or town.wrong[wrong]
            return stack.enter_context(Posing(files, is_old=wrong == "an old TLS"))

        yield pose


@pytest.mark.parametrize("wrong", ["a slave's", "an old TLS", *WRONG[:-1]])
def test_nothing_is_said_to_who_poses_as_a_server(town: Town, posing: Any, wrong: str) -> None:
    poser: Posing = posing(wrong)
    guest, where = town.guest, poser.location
    with pytest.raises(ConnectionLost) as lost:
        Proxy(f"PYRO:bell@{where}", identity=guest).ring()
    assert lost.value.executed == "no"
    with pytest.raises(NameServerNotFound):
        locate(where, identity=guest)
    with NameServerClient(where, identity=guest) as client, pytest.raises(ConnectionLost):
        client.list()
    door = URI(f"PYRO:masterslave.door@{where}")
    with pytest.raises(ConnectionLost):
        owner_at(door, guest)
    said: list[str] = []
    agent = Agent(slots=1, identity=guest, report=said.append)
    agent.found(FarmRecord("test", "1", door, "far", 1, "x.py"), "a name server")
    if wrong == "an old TLS":  # which is no word of who that is: it is asked again for a while
        eventually(lambda: poser.came >= 6, "it was asked twice")
    else:
        eventually(lambda: said, "it is refused")
    agent.close()
    assert poser.came >= 5
    assert poser.heard == b""
