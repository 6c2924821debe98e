"""Slaves that give shared objects to each other: they are sent once, and no lie is taken."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from masterslave import Farm
from masterslave.blobs.segments import Segment
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.fetching import (
    GIVER_ID,
    MAX_PIECE_BYTES,
    BlobAnswer,
    BlobAsk,
    Piece,
    PieceAsk,
    hash_of_piece,
)
from masterslave.protocol.joining import VERSION, Introduction, Welcome
from masterslave.slave.giving import Giver
from masterslave.slave.route import Route
from nameserver import NameServer
from remoteobj import Daemon, Identity, PeerRefused, Proxy, expose, release
from tests.certificates import Files, make_cluster
from tests.conftest import StartScript, eventually
from tests.masterslave.conftest import StartSlave

SIZE = 2 * MAX_PIECE_BYTES + 1000
Pieces = Counter[tuple[bytes, int, int]]


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the script memory that no slave can open, as in a container that shares a directory."""
    make = Segment.__init__

    def make_apart(self: Segment, size: int) -> None:
        make(self, size)
        self.path = "/nowhere"

    monkeypatch.setattr(Segment, "__init__", make_apart)


def count_pieces(farm: Farm, before: Callable[[int], None] = lambda number: None) -> Pieces:
    """Count how often the script gives each piece; *before* is called with how many there were."""
    given: Pieces = Counter()
    read, lock = farm._master.blobs.read, threading.Lock()

    def count(digest: bytes, part: int, offset: int, size: int) -> bytes:
        with lock:
            given[digest, part, offset] += 1
            number = given.total()
        before(number)
        return read(digest, part, offset, size)

    farm._master.blobs.read = count
    return given


def sum_of(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()


def make(seed: bytes) -> bytes:
    return hashlib.shake_128(seed).digest(SIZE)


def sums_at(farm: Farm, given: Any, names: list[str]) -> list[str]:
    futures = [farm.options(on=name).submit(sum_of, given) for name in names]
    return [future.result(timeout=40) for future in futures]


def joined(farm: Farm, count: int) -> None:
    eventually(lambda: len(farm.slaves) == count, f"{count} slaves join", 20.0)


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("is_future", [False, True])
def test_the_script_gives_each_piece_once(start_slave: StartSlave, is_future: bool) -> None:
    names = ["a", "b", "c", "d"]
    for name in names:
        start_slave("test", "--slots", "1", "--name", name, "--serve")
    with Farm("test", local_slaves=0) as farm:
        joined(farm, 4)
        pieces = count_pieces(farm)
        data = make(b"it")
        given: Any = farm.submit(make, b"it") if is_future else farm.share(memoryview(data))
        assert sums_at(farm, given, names) == [sum_of(data)] * 4
        assert len(pieces) == 3
        assert set(pieces.values()) == {1}, "what each slave has is from another"
        eventually(
            lambda: farm.statistics().shared_bytes_given >= 3 * SIZE, "slaves say what they had"
        )
        told = farm.statistics()
        assert SIZE < told.shared_bytes_sent < SIZE + 1000
        slaves = farm.slaves
        assert sum(slave.sent_bytes for slave in slaves) == told.shared_bytes_sent
        assert sum(slave.given_bytes for slave in slaves) == told.shared_bytes_given
        assert all(slave.gives_at for slave in slaves)
        assert all(slave.given_bytes <= 2.1 * SIZE for slave in slaves), "nobody gives it to all"
        assert not any(slave.lost_pieces or slave.wrong_pieces for slave in slaves)
        shown = subprocess.run(
            [sys.executable, "-m", "masterslave", "show", "test"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout
        assert "shared objects: 16.0 MiB sent by the script, 48.0 MiB by slaves" in shown


@pytest.mark.usefixtures("apart")
def test_without_the_option_each_slave_is_sent_all(start_slave: StartSlave) -> None:
    names = ["a", "b"]
    for name in names:
        start_slave("test", "--slots", "1", "--name", name)
    with Farm("test", local_slaves=0) as farm:
        joined(farm, 2)
        pieces = count_pieces(farm)
        data = make(b"it")
        assert sums_at(farm, farm.share(memoryview(data)), names) == [sum_of(data)] * 2
        assert set(pieces.values()) == {2}
        assert farm.statistics().shared_bytes_given == 0
        assert not any(slave.gives_at for slave in farm.slaves)


@pytest.fixture
def server(identity: Identity) -> Iterator[NameServer]:
    """A name server of the cluster, on loopback and not announced."""
    with NameServer("127.0.0.1", identity=identity, announce=False) as running:
        yield running


def test_slaves_of_other_machines_give_it_over_tls(
    server: NameServer,
    identity: Identity,
    cluster: dict[str, Files],
    foreign: Files,
    start_script: StartScript,
    own_machine: Path,
) -> None:
    folder = own_machine / "elsewhere"
    folder.mkdir(mode=0o700)
    security = ("--identity", *map(str, cluster["slave"]), "--nameserver", server.address)
    names = ["a", "b", "c"]
    for name in names:
        slave = ("-m", "masterslave", "slave", "test", "--slots", "1", "--name", name, *security)
        start_script(*slave, "--serve", "127.0.0.1", XDG_RUNTIME_DIR=str(folder))
    with Farm(
        "test", local_slaves=0, host="127.0.0.1", identity=identity, nameserver=server.address
    ) as farm:
        joined(farm, 3)
        pieces = count_pieces(farm)
        data = make(b"it")
        handle = farm.share(memoryview(data))
        assert sums_at(farm, handle, names) == [sum_of(data)] * 3
        assert set(pieces.values()) == {1}
        (address,) = {
            slave.gives_at.partition("@")[2] for slave in farm.slaves if slave.name == "a"
        }
        assert address.startswith("127.0.0.1:")
        stranger = Identity.from_files(*foreign)
        refused = pytest.raises(PeerRefused)
        with refused, Proxy(f"PYRO:{GIVER_ID}@{address}", role="slave", identity=stranger) as giver:
            giver.piece(b"")
        with Proxy(f"PYRO:{GIVER_ID}@{address}", role="slave", identity=identity) as giver:
            assert dir(giver) == ["piece"]
            digest = next(iter(pieces))[0]
            assert giver.piece(encode(PieceAsk("", digest, 0, 0, 100)))
            for ask in (
                PieceAsk("", digest, 0, 0, MAX_PIECE_BYTES + 1),
                PieceAsk("", digest, 0, -1, 100),
                PieceAsk("", digest, -1, 0, 100),
                PieceAsk("", digest, 1, 0, 100),
                PieceAsk("", digest, 0, 2**40, 100),
                PieceAsk("", b"other", 0, 0, 100),
            ):
                assert giver.piece(encode(ask)) == b""


@pytest.mark.usefixtures("apart")
def test_a_giver_that_is_killed_midway_costs_its_takers_nothing_but_time(
    start_slave: StartSlave,
) -> None:
    goes_on = threading.Event()
    first = start_slave("test", "--slots", "1", "--name", "first", "--serve")
    start_slave("test", "--slots", "1", "--name", "second", "--serve")
    with Farm("test", local_slaves=0) as farm:
        joined(farm, 2)
        came = threading.Semaphore(0)

        def hold(number: int) -> None:
            came.release()
            if number == 2:
                goes_on.wait(4)

        pieces = count_pieces(farm, hold)
        data = make(b"it")
        handle = farm.share(memoryview(data))
        lost = farm.options(on="first").submit(sum_of, handle)
        for _ in range(2):
            assert came.acquire(timeout=15)
        answer = farm.options(on="second").submit(sum_of, handle)
        seats = farm._master._table.seats
        eventually(lambda: any(seat.takes for seat in seats.values()), "second is sent to first")
        first.kill()
        assert answer.result(timeout=20) == sum_of(data)
        goes_on.set()
        assert max(pieces.values()) == 2
        assert lost.cancel()


class Liar:
    """A slave by hand that says it gives a blob, and gives what a test says."""

    def __init__(self, farm: Farm, answer: Callable[[PieceAsk], Any]) -> None:
        self.asked: list[PieceAsk] = []
        self._answer = answer
        self.daemon = Daemon()
        uri = self.daemon.register(self, GIVER_ID)
        self.daemon.start()
        self.door = Proxy(farm.uri)
        me = Introduction(
            VERSION, "liar", "here", os.getpid(), 1, sys.version_info[:2], gives=str(uri)
        )
        self.slave = decode(self.door.join(encode(me)), Welcome).slave
        self.origin = farm._master.origin

    def offer(self, digest: bytes) -> BlobAnswer:
        ask = BlobAsk(self.slave, digest, self.origin, fetches=0)
        return decode(self.door.blob(encode(ask)), BlobAnswer)

    def close(self) -> None:
        release(self.door)
        self.daemon.close()

    @expose
    def piece(self, message: bytes) -> Any:
        ask = decode(message, PieceAsk)
        self.asked.append(ask)
        return self._answer(ask)


@pytest.fixture
def meet(start_slave: StartSlave) -> Iterator[Callable[..., tuple[Farm, Liar]]]:
    """Make a farm with a real slave, and a liar."""
    with contextlib.ExitStack() as stack:

        def meet_a_liar(answer: Callable[[PieceAsk], Any]) -> tuple[Farm, Liar]:
            start_slave("test", "--slots", "1", "--name", "real")
            farm = stack.enter_context(Farm("test", local_slaves=0))
            joined(farm, 1)
            liar = Liar(farm, answer)
            stack.callback(liar.close)
            return farm, liar

        yield meet_a_liar


def raise_it(ask: PieceAsk) -> bytes:
    raise ValueError("no")


LIES: list[tuple[str, bool, Callable[[PieceAsk], Any]]] = [
    ("other bytes", True, lambda ask: bytes(ask.size)),
    ("too few", True, lambda ask: b"x"),
    ("no bytes", True, lambda ask: ["a", {"b": 1}]),
    ("nothing", False, lambda ask: b""),
    ("too many", False, lambda ask: bytes(3 * MAX_PIECE_BYTES)),
    ("an error", False, raise_it),
]


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize(
    ("is_lie", "answer"), [case[1:] for case in LIES], ids=[c[0] for c in LIES]
)
def test_what_a_liar_gives_is_refused_and_counted(
    meet: Any, is_lie: bool, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    farm, liar = meet(answer)
    pieces = count_pieces(farm)
    for seed in (b"one", b"two"):
        data = make(seed)
        handle = farm.share(memoryview(data))
        liar.offer(handle._blob.digest)
        with caplog.at_level(logging.WARNING):
            assert sums_at(farm, handle, ["real"]) == [sum_of(data)]
    assert set(pieces.values()) == {1}, "it comes from the script"
    (record,) = [slave for slave in farm.slaves if slave.name == "liar"]
    assert (record.wrong_pieces, record.lost_pieces) == ((1, 0) if is_lie else (0, 2))
    assert record.given_bytes == 0
    assert len(liar.asked) == (1 if is_lie else 2), "who has lied is asked no more"
    assert ("gave real something else" in caplog.text) == is_lie


@pytest.mark.usefixtures("apart")
def test_one_lie_among_true_pieces_is_found(meet: Any) -> None:
    data = make(b"it")

    def give(ask: PieceAsk) -> bytes:
        true: bytes = farm._master.blobs.read(ask.digest, ask.part, ask.offset, ask.size)
        return true if ask.offset == 0 else true[:-1] + bytes([true[-1] ^ 1])

    farm, liar = meet(give)
    handle = farm.share(memoryview(data))
    liar.offer(handle._blob.digest)
    assert sums_at(farm, handle, ["real"]) == [sum_of(data)]
    (record,) = [slave for slave in farm.slaves if slave.name == "liar"]
    assert record.wrong_pieces == 1
    assert [ask.offset for ask in liar.asked] == [0, MAX_PIECE_BYTES]
    assert not any(ask.slave for ask in liar.asked), "the slave's name is no business of others"
    assert farm.statistics().shared_bytes_sent < SIZE - MAX_PIECE_BYTES + 1000


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("is_closed", [False, True])
def test_one_that_is_silent_or_gone_costs_seconds(meet: Any, is_closed: bool) -> None:
    ends = threading.Event()
    farm, liar = meet(lambda ask: ends.wait(8))
    data = make(b"it")
    handle = farm.share(memoryview(data))
    liar.offer(handle._blob.digest)
    if is_closed:
        liar.daemon.close()
    started = time.monotonic()
    assert sums_at(farm, handle, ["real"]) == [sum_of(data)]
    assert time.monotonic() - started < 12
    ends.set()
    known = (*farm.slaves, *farm.former_slaves)  # by then it was not heard of for long
    assert [slave.lost_pieces for slave in known if slave.name == "liar"] == [1]


def test_slaves_give_to_slaves_by_their_role(tmp_path: Path) -> None:
    files = make_cluster(tmp_path, ["one", "two"], {"one": "slave", "two": "slave"})
    one, two = (Identity.from_files(*files[name]) for name in ("one", "two"))
    data = make(b"it")
    giver = Giver("127.0.0.1", identity=one)
    giver.add(lambda ask, wait_s: data[ask.offset : ask.offset + ask.size])
    piece = Piece(0, 10, 100)
    expected = hash_of_piece(data[10:110])
    told = BlobAnswer(giver=str(giver.uri), hashes=(expected,))
    ask, over = BlobAsk("s", b"d", "o"), threading.Event()
    route = Route(ask, lambda ask: told, identity=two, over=over)
    assert route.take(0, piece) == data[10:110]
    route.close()
    giver.close()


def test_who_speaks_the_protocol_without_all_this_is_understood() -> None:
    before = {"slave": "s", "digest": b"d", "origin": "o"}
    ask = decode(encode(before), BlobAsk)
    assert (ask.fetches, ask.giver, ask.given) == (-1, "", {})
    answer = decode(encode({"parts": [], "refused": "no"}), BlobAnswer)
    assert (answer.giver, answer.hashes) == ("", ())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["127.0.0.1"], "on 127.0.0.1 without --identity: they are pickled"),
        (["127.0.0.1:4711"], "on 127.0.0.1 without --identity: they are pickled"),
        (["127.0.0.1", "--insecure"], "on 127.0.0.1 without --identity: they are pickled"),
        (["1:2:3"], "--serve takes an address of this machine"),
    ],
)
def test_on_plain_tcp_nothing_is_given(options: list[str], words: str) -> None:
    command = ["-m", "masterslave", "slave", "test", "--serve", *options]
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
