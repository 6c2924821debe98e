"""TLS: any split gives the same bytes; who is refused, and why, is said in words on both sides."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servants import calm

from remoteobj import ConnectionLost
from remoteobj.errors import PeerRefused
from remoteobj.identity import Identity
from remoteobj.tls import TlsEngine
from remoteobj.wire import Message, encode
from tests.certificates import HOUR_S, Authority, Files

MESSAGES = int(os.environ.get("TLS_MESSAGES", "20000"))
"""How many go each way while two threads use a connection: 2 s, and 10 s for 100000."""

RECORD_BYTES = 16384


@dataclass(frozen=True)
class Room:
    """A cluster with two nodes, what else its CA has signed, and a node of another cluster."""

    master: Files
    slave: Files
    expired: Files
    early: Files
    foreign: Files
    server_only: Files


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    cluster = Authority(tmp_path_factory.mktemp("cluster"))
    return Room(
        master=cluster.node("master"),
        slave=cluster.node("slave"),
        expired=cluster.node("old", ends_in_s=-60),
        early=cluster.node("new", starts_in_s=HOUR_S),
        foreign=Authority(tmp_path_factory.mktemp("other")).node("stranger"),
        server_only=cluster.node("half", is_client=False),
    )


def server_of(files: Files, **options: int) -> TlsEngine:
    context = Identity.from_files(*files).server_context()
    return TlsEngine(context, server_side=True, peer="the caller", **options)


def client_of(files: Files) -> TlsEngine:
    context = Identity.from_files(*files).client_context()
    return TlsEngine(context, server_side=False, peer="the daemon")


def spoiled(good: Files, bad: Files | None, *, server_side: bool) -> TlsEngine:
    """Make an engine with a certificate that no identity would take; None for none at all."""
    if bad is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(good.ca)
    else:
        identity = Identity.from_files(*good)
        context = identity.server_context() if server_side else identity.client_context()
        context.load_cert_chain(bad.certificate, bad.key)
    return TlsEngine(context, server_side=server_side, peer="the spoiled one")


def shake_hands(client: TlsEngine, server: TlsEngine) -> None:
    """Drive both until both are done; an error of one is told to the other first."""
    done: set[TlsEngine] = set()
    for _ in range(3):
        for side, other in ((client, server), (server, client)):
            if side not in done and side.handshake():
                done.add(side)
            if side.has_outgoing:
                other.received(side.take_outgoing())
    assert done == {client, server}


def errors_of(client: TlsEngine, server: TlsEngine) -> tuple[ConnectionLost, ConnectionLost]:
    """Return what each side says in the end: at the handshake, or at the first read after it."""
    errors: dict[TlsEngine, ConnectionLost] = {}
    for _ in range(4):
        for side, other in ((client, server), (server, client)):
            if side in errors:
                continue
            try:
                if side.handshake():
                    side.read(100)
            except ConnectionLost as error:
                errors[side] = error
            other.received(side.take_outgoing())
    return errors[client], errors[server]


@pytest.fixture
def pair(room: Room) -> tuple[TlsEngine, TlsEngine]:
    client, server = client_of(room.slave), server_of(room.master)
    shake_hands(client, server)
    return client, server


def carry(source: TlsEngine, target: TlsEngine) -> None:
    target.received(source.take_outgoing())


def drain(engine: TlsEngine) -> bytes:
    return b"".join(iter(lambda: engine.read(100_000), None))


class TestBytes:
    def test_they_arrive_as_they_left(self, pair: tuple[TlsEngine, TlsEngine]) -> None:
        for source, target in (pair, pair[::-1]):
            for size in (1, 64, RECORD_BYTES, RECORD_BYTES + 1, 1 << 20):
                data = random.Random(size).randbytes(size)
                source.write(data)
                carry(source, target)
                assert drain(target) == data

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_any_buffer_is_taken(
        self, pair: tuple[TlsEngine, TlsEngine], kind: Callable[[bytes], bytes]
    ) -> None:
        source, target = pair
        source.write(kind(b""))
        source.write(kind(b"data"))
        target.received(kind(source.take_outgoing()))
        assert target.read(100) == b"data"

    def test_a_read_takes_no_more_than_it_was_asked_for(
        self, pair: tuple[TlsEngine, TlsEngine]
    ) -> None:
        source, target = pair
        source.write(b"one record")
        source.write(b", another")
        carry(source, target)
        assert [target.read(4), target.read(4), target.read(4)] == [b"one ", b"reco", b"rd"]
        assert target.read(100) == b", another"
        assert target.read(100) is None

    def test_a_view_is_filled_over_records(self, pair: tuple[TlsEngine, TlsEngine]) -> None:
        source, target = pair
        for number in range(5):
            source.write(bytes([number]) * 10)
        carry(source, target)
        view = memoryview(bytearray(35))
        assert target.read_into(view) == 35
        assert bytes(view[-5:]) == b"\3" * 5
        assert target.read_into(view) == 15
        assert target.read_into(view) is None

    @calm
    @given(
        st.lists(st.binary(min_size=1, max_size=40_000), min_size=1, max_size=4),
        st.lists(st.integers(1, 3000), min_size=1),
        st.lists(st.integers(1, 40_000), min_size=1),
        st.booleans(),
    )
    def test_every_split_gives_the_same(
        self, room: Room, messages: list[bytes], splits: list[int], sizes: list[int], into: bool
    ) -> None:
        client, server = client_of(room.slave), server_of(room.master)
        split, size = cycle(splits), cycle(sizes)
        in_pieces(client, server, split)
        for source, target in ((client, server), (server, client)):
            for message in messages:
                source.write(message)
            seen = b""
            for piece in pieces(source.take_outgoing(), split):
                target.received(piece)
                while (data := take(target, next(size), into)) is not None:
                    seen += data
            assert seen == b"".join(messages)

    def test_byte_by_byte(self, room: Room) -> None:
        client, server = client_of(room.slave), server_of(room.master)
        in_pieces(client, server, cycle([1]))
        client.write(b"x" * 100)
        stream = client.take_outgoing()
        for position in range(len(stream)):
            assert server.read(1000) is None
            server.received(stream[position : position + 1])
        assert drain(server) == b"x" * 100

    def test_a_call_may_come_with_the_end_of_the_handshake(self, room: Room) -> None:
        client, server = client_of(room.slave), server_of(room.master)
        client.handshake()
        carry(client, server)
        server.handshake()
        carry(server, client)
        assert client.handshake()
        client.write(b"call")
        carry(client, server)
        assert server.handshake()
        assert server.read(100) == b"call"


def cycle(sizes: list[int]) -> Iterator[int]:
    while True:
        yield from sizes


def pieces(data: bytes, split: Iterator[int]) -> Iterator[bytes]:
    edges = [0]
    while edges[-1] < len(data):
        edges.append(min(len(data), edges[-1] + next(split)))
    for start, end in pairwise(edges):
        yield data[start:end]


def in_pieces(client: TlsEngine, server: TlsEngine, split: Iterator[int]) -> None:
    """Shake hands, with every flight cut into pieces."""
    assert not client.handshake()
    for source, target in ((client, server), (server, client), (client, server)):
        steps = []
        for piece in pieces(source.take_outgoing(), split):
            target.received(piece)
            steps.append(target.handshake())
        assert not any(steps[:-1])
    assert client.handshake()
    assert server.handshake()


def take(engine: TlsEngine, size: int, into: bool) -> bytes | None:
    if not into:
        return engine.read(size)
    view = memoryview(bytearray(size))
    count = engine.read_into(view)
    return None if count is None else bytes(view[:count])


OTHER_CA = (
    "has a certificate of another CA: both machines must belong to the same cluster, "
    "so give both of them certificates of one CA"
)
UNKNOWN_CA = (
    "does not know the CA of this machine's certificate: both machines must belong to the same "
    "cluster, so give both of them certificates of one CA"
)
SAYS_EXPIRED = "says that this machine's certificate has expired: renew it, or set the clock there"
SET_THE_CLOCK = "set the clock of the machine that is wrong"
SAYS_BAD = (
    f"says that this machine's certificate is bad or not valid yet: {SET_THE_CLOCK}, "
    "or make a new certificate"
)


class TestRefusals:
    @pytest.mark.parametrize(
        ("bad", "says", "hears"),
        [
            (
                "expired",
                "the certificate of {} has expired: renew it there, or set this machine's clock",
                f"{{}} {SAYS_EXPIRED}",
            ),
            (
                "early",
                f"the certificate of {{}} is not valid yet: {SET_THE_CLOCK}",
                f"{{}} {SAYS_BAD}",
            ),
            ("foreign", f"{{}} {OTHER_CA}", f"{{}} {UNKNOWN_CA}"),
        ],
    )
    @pytest.mark.parametrize("server_side", [True, False], ids=["server", "client"])
    def test_a_bad_certificate(
        self, room: Room, bad: str, says: str, hears: str, server_side: bool
    ) -> None:
        culprit = spoiled(room.master, getattr(room, bad), server_side=server_side)
        if server_side:
            theirs, ours = errors_of(client_of(room.slave), culprit)
            peer = "the daemon"
        else:
            ours, theirs = errors_of(culprit, server_of(room.master))
            peer = "the caller"
        assert str(theirs) == says.format(peer)
        assert str(ours) == hears.format("the spoiled one")
        for error in (ours, theirs):
            assert isinstance(error, PeerRefused)
            assert error.executed == "no"

    def test_two_clusters(self, room: Room) -> None:
        theirs, ours = errors_of(client_of(room.foreign), server_of(room.master))
        assert str(theirs) == f"the daemon {OTHER_CA}"
        assert str(ours) == f"the caller {UNKNOWN_CA}"

    def test_a_certificate_for_servers_only(self, room: Room) -> None:
        culprit = spoiled(room.master, room.server_only, server_side=False)
        ours, theirs = errors_of(culprit, server_of(room.master))
        assert str(theirs) == (
            "the certificate of the caller is refused here (unsuitable certificate purpose): "
            "make a new one there"
        )
        assert str(ours) == (
            "the spoiled one does not accept this machine's certificate "
            "(sslv3 alert unsupported certificate): make a new one"
        )

    def test_no_certificate(self, room: Room) -> None:
        culprit = spoiled(room.master, None, server_side=False)
        ours, theirs = errors_of(culprit, server_of(room.master))
        assert str(theirs) == (
            "the caller sent no certificate: start it with an identity of this cluster"
        )
        assert str(ours) == (
            "the spoiled one lets in nobody without a certificate: start this side with an identity"
        )

    @pytest.mark.parametrize("server_side", [True, False], ids=["server", "client"])
    def test_an_old_version(self, room: Room, server_side: bool) -> None:
        identity = Identity.from_files(*room.slave)
        context = identity.server_context() if server_side else identity.client_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        old = TlsEngine(context, server_side=server_side, peer="the new one")
        if server_side:
            theirs, _ = errors_of(client_of(room.slave), old)
            peer = "the daemon"
        else:
            _, theirs = errors_of(old, server_of(room.master))
            peer = "the caller"
        assert isinstance(theirs, PeerRefused)
        assert str(theirs) == (f"{peer} does not speak TLS 1.3: update Python and OpenSSL there")

    def test_the_refused_client_has_done_nothing(self, room: Room) -> None:
        """It was done before the server had looked, and has sent a call already."""
        client = spoiled(room.master, room.expired, server_side=False)
        server = server_of(room.master)
        client.handshake()
        carry(client, server)
        server.handshake()
        carry(server, client)
        assert client.handshake()
        client.write(b"a call")
        carry(client, server)
        with pytest.raises(PeerRefused):
            server.handshake()
        carry(server, client)
        for _ in range(2):
            with pytest.raises(PeerRefused) as refused:
                client.read_into(memoryview(bytearray(9)))
            assert refused.value.executed == "no"
        with pytest.raises(PeerRefused):
            client.write(b"another")
        with pytest.raises(PeerRefused):
            server.read(100)


NO_TLS = "does not speak TLS: start it with an identity, or use insecure=True on both sides"


class TestOthers:
    @pytest.mark.parametrize(
        "words",
        [
            encode(Message(1, 1, 0, 0, b"hello")),
            b"GET / HTTP/1.1\r\n\r\n",
            b"\0",
            b"P",
            b"\x80\x2e",
        ],
    )
    def test_plain_text_is_refused_at_its_first_byte(self, room: Room, words: bytes) -> None:
        for engine, peer in (
            (server_of(room.master), "the caller"),
            (client_of(room.slave), "the daemon"),
        ):
            engine.handshake()
            engine.received(words)
            with pytest.raises(PeerRefused) as refused:
                engine.handshake()
            assert str(refused.value) == f"{peer} {NO_TLS}"

    def test_a_plain_server_that_only_closes(self, room: Room) -> None:
        client = client_of(room.slave)
        client.handshake()
        client.received_eof()
        with pytest.raises(ConnectionLost) as lost:
            client.handshake()
        assert str(lost.value) == (
            "the daemon closed the connection without a word of TLS: if it does not speak TLS, "
            "start it with an identity, or use insecure=True on both sides"
        )
        assert lost.value.executed == "no"

    def test_tls_looks_like_tls_to_a_plain_server(self, room: Room) -> None:
        client = client_of(room.slave)
        client.handshake()
        assert client.take_outgoing()[:2] == b"\x16\x03"

    def test_a_peer_that_leaves_in_the_middle(self, room: Room) -> None:
        client, server = client_of(room.slave), server_of(room.master)
        client.handshake()
        server.received(client.take_outgoing()[:50])
        assert not server.handshake()
        server.received_eof()
        with pytest.raises(ConnectionLost) as lost:
            server.handshake()
        assert str(lost.value) == "the caller closed the connection during the TLS handshake"
        assert lost.value.executed == "no"

    def test_a_flood_before_the_handshake_is_not_kept(self, room: Room) -> None:
        hello = b"\x16\x03\x01\x40\x00\x01\x00\xff\xff"  # a long one
        server = server_of(room.master, max_handshake_bytes=10_000)
        server.received(hello)
        with pytest.raises(PeerRefused) as refused:
            for _ in range(11):
                server.received(bytes(1000))
                server.handshake()
        assert str(refused.value) == (
            "the caller sent too much before it was let in: this is no TLS handshake"
        )

    @calm
    @given(st.sampled_from([b"", b"\x16\x03\x01", b"\x15\x03\x03\0\2"]), st.binary(max_size=200))
    def test_any_bytes_are_refused_or_a_wait(self, room: Room, start: bytes, rest: bytes) -> None:
        for engine in (server_of(room.master), client_of(room.slave)):
            engine.handshake()
            engine.received(start + rest)
            with contextlib.suppress(ConnectionLost):
                assert not engine.handshake()
                engine.received_eof()
                with pytest.raises(ConnectionLost):
                    engine.handshake()


class TestEnds:
    @pytest.mark.parametrize("into", [True, False])
    @pytest.mark.parametrize("closes", [True, False])
    def test_a_clean_end_comes_after_all_that_was_written(
        self, pair: tuple[TlsEngine, TlsEngine], into: bool, closes: bool
    ) -> None:
        source, target = pair
        source.write(b"last")
        source.close_notify()
        carry(source, target)
        if closes:
            target.received_eof()
        assert [take(target, 4, into) for _ in range(3)] == [b"last", b"", b""]
        for use in (lambda: source.read(9), lambda: source.write(b"more"), source.handshake):
            with pytest.raises(ConnectionLost, match="to the daemon was closed here"):
                use()
        source.close_notify()

    def test_both_may_end(self, pair: tuple[TlsEngine, TlsEngine]) -> None:
        for side in pair:
            side.close_notify()
        carry(pair[0], pair[1])
        carry(pair[1], pair[0])
        with pytest.raises(ConnectionLost):
            pair[1].read(9)

    def test_before_the_handshake_there_is_nothing_to_end(self, room: Room) -> None:
        client = client_of(room.slave)
        client.close_notify()
        with pytest.raises(ConnectionLost, match="closed here"):
            client.handshake()

    @pytest.mark.parametrize("missing", [0, 1, 30])
    @pytest.mark.parametrize("into", [True, False])
    def test_a_cut_is_no_end(
        self, pair: tuple[TlsEngine, TlsEngine], missing: int, into: bool
    ) -> None:
        source, target = pair
        source.write(b"first")
        source.write(b"x" * 50)
        data = source.take_outgoing()
        target.received(data[: len(data) - missing])
        target.received_eof()
        seen = b""
        with pytest.raises(ConnectionLost) as lost:
            while True:
                seen += take(target, 100, into) or b""
        assert seen == b"first" + (b"" if missing else b"x" * 50)
        assert str(lost.value) == "the connection to the caller was cut"
        assert lost.value.executed == "maybe"
        with pytest.raises(ConnectionLost) as not_sent:
            target.write(b"more")
        assert not_sent.value.executed == "no"

    @pytest.mark.parametrize("into", [True, False])
    def test_a_changed_byte_is_noticed(self, pair: tuple[TlsEngine, TlsEngine], into: bool) -> None:
        client, server = pair
        server.write(b"right")
        server.write(b"wrong")
        data = bytearray(server.take_outgoing())
        data[-1] ^= 1
        client.received(data)
        assert take(client, 5, into) == b"right"
        for _ in range(2):  # OpenSSL calls it an end the second time
            with pytest.raises(
                ConnectionLost, match=r"to the daemon broke .*bad record mac"
            ) as lost:
                take(client, 100, into)
            assert lost.value.executed == "maybe"
        carry(client, server)
        with pytest.raises(ConnectionLost, match=r"to the caller broke .*alert bad record mac"):
            server.read(100)


def test_who_is_there(pair: tuple[TlsEngine, TlsEngine], room: Room) -> None:
    client, server = pair
    assert (client.peer_name, server.peer_name) == ("master", "slave")
    assert client.peer_certificate()["subjectAltName"] == (("DNS", "master"),)
    assert repr(client) == "<TlsEngine client with the daemon: open>"
    assert repr(server_of(room.master)) == "<TlsEngine server with the caller: handshake>"


def test_writing_comes_after_the_handshake(room: Room) -> None:
    with pytest.raises(RuntimeError, match="before the handshake"):
        client_of(room.slave).write(b"early")


class Connection:
    """A socket with an engine, as those who use engines have it."""

    def __init__(self, sock: socket.socket, engine: TlsEngine) -> None:
        self.sock = sock
        self.engine = engine
        self.sending = threading.Lock()

    def shake_hands(self) -> None:
        while not self.engine.handshake():
            self.flush()
            self.engine.received(self.sock.recv(4096))
        self.flush()

    def flush(self) -> None:
        with self.sending:
            self.sock.sendall(self.engine.take_outgoing())

    def write(self, data: bytes) -> None:
        with self.sending:
            self.engine.write(data)
            self.sock.sendall(self.engine.take_outgoing())

    def read(self) -> bytes:
        while (data := self.engine.read(65536)) is None:
            # Little at once, so that reads often end amid a record, which is what broke.
            if arrived := self.sock.recv(700):
                self.engine.received(arrived)
            else:
                self.engine.received_eof()
        return data


def write_all(connection: Connection, seed: int) -> None:
    for number, size in enumerate(sizes_of(seed)):
        connection.write(struct.pack("!IB", number, seed) * size)


def read_all(connection: Connection, seed: int) -> None:
    buffer = bytearray()
    for number, size in enumerate(sizes_of(seed)):
        while len(buffer) < size * 5:
            buffer += connection.read()
        assert buffer[: size * 5] == struct.pack("!IB", number, seed) * size
        del buffer[: size * 5]


def sizes_of(seed: int) -> Iterator[int]:
    """Most are small; one in ten takes several records."""
    chance = random.Random(seed)
    for _ in range(MESSAGES):
        yield chance.randint(1, 40) if chance.random() < 0.9 else chance.randint(3000, 8000)


@pytest.mark.timeout(60 + MESSAGES // 500)
def test_one_thread_reads_while_another_writes(room: Room) -> None:
    """Without the engine's lock CPython 3.11 takes a read for an end, or waits for ever."""
    ends = socket.socketpair()
    server = Connection(ends[0], server_of(room.master))
    client = Connection(ends[1], client_of(room.slave))

    def run(use: Callable[[Connection, int], None], side: Connection, seed: int) -> None:
        try:
            use(side, seed)
        except BaseException:
            for sock in ends:  # the other threads wait for what will not come
                sock.shutdown(socket.SHUT_RDWR)
            raise

    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(Connection.shake_hands, (server, client)))
            work = [
                threads.submit(run, read_all, server, 1),
                threads.submit(run, read_all, client, 2),
                threads.submit(run, write_all, client, 1),
                threads.submit(run, write_all, server, 2),
            ]
            for job in work:
                job.result()
    finally:
        for sock in ends:
            sock.close()
