"""What a slave keeps of what was shared with it: what is used, as long as there is room."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from masterslave.blobs.reading import BlobGone, read_blob
from masterslave.blobs.segments import Part
from masterslave.blobs.writing import Contents
from masterslave.master.sharing import Blob, Blobs
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.fetching import MAX_PIECE_BYTES, BlobAnswer, BlobAsk, PieceAsk
from masterslave.protocol.hand_outs import CALL, WireTask
from masterslave.protocol.joining import Welcome
from masterslave.slave.calling import Caller
from masterslave.slave.child.frames import Found
from masterslave.slave.children import Child
from masterslave.slave.keeper import Keeper
from masterslave.slave.work import FarmWork
from masterslave.slave.workshop import Workshop

MIB = 1 << 20


class Script:
    """A master's two verbs for blobs, whose memory nobody can open."""

    def __init__(self) -> None:
        self.blobs = Blobs(lambda: None)
        self.asked: list[bytes] = []
        self.pieces: list[int] = []
        self.before_piece: Callable[[], None] = lambda: None
        self.tells_paths = False
        self.seated = {"s"}

    def share(self, letter: bytes, size: int = 5 * MIB) -> Blob:
        body = memoryview(b"\x80\x05\x97.")  # the next buffer beside the pickle
        return self.blobs.add(Contents(body, [memoryview(letter * size)]), lambda buffer: None)

    def blob(self, message: bytes) -> bytes:
        ask = decode(message, BlobAsk)
        if ask.fetches < 0:
            self.asked.append(ask.digest)
        blob = self.blobs.find(ask.digest)
        if blob is None:
            return encode(BlobAnswer(refused="it is gone"))
        if ask.slave not in self.seated:
            return encode(BlobAnswer())
        if self.tells_paths:
            return encode(BlobAnswer(tuple(place.part for place in blob.places)))
        return encode(BlobAnswer(tuple(Part("", 0, 0, 0, place.size) for place in blob.places)))

    def piece(self, message: bytes) -> bytes:
        ask = decode(message, PieceAsk)
        self.pieces.append(ask.size)
        self.before_piece()
        if ask.slave not in self.seated:
            return b""
        return self.blobs.read(ask.digest, ask.part, ask.offset, ask.size)


class Slot:
    """A child that is told where things are."""

    def __init__(self) -> None:
        self.told: queue.SimpleQueue[Found] = queue.SimpleQueue()
        self.tell_found = self.told.put


class Slave:
    """A keeper with its surroundings."""

    def __init__(self, script: Script, room_bytes: int) -> None:
        self.work, self.workshop = FarmWork(), Workshop(1)
        self.workshop.add(self.work, Welcome(label="test"), lambda child: None)
        self.caller = Caller(5.0)
        proxy = cast(Any, script)
        self.keeper = Keeper(
            self.work, self.workshop, self.caller, proxy, slave=self.name, room_bytes=room_bytes
        )
        self.slot = Slot()
        self.names = ["s"]

    def name(self) -> str:
        """What it is called at the master; the last name stays."""
        return self.names.pop(0) if len(self.names) > 1 else self.names[0]

    def get(self, digest: bytes, *, is_inherited: bool = False) -> Found:
        self.keeper.want(cast(Child, self.slot), digest, "a farm", is_inherited)
        return self.slot.told.get(timeout=10)

    def close(self) -> None:
        self.caller.over.set()
        self.keeper.close()
        self.workshop.close()


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def slave(script: Script) -> Iterator[Slave]:
    """A slave with room for two of what the script shares."""
    made = Slave(script, 11 * MIB)
    yield made
    made.close()


def content(found: Found) -> bytes:
    return bytes(read_blob(found.parts)[:1])


def test_it_is_fetched_once_in_pieces(script: Script, slave: Slave) -> None:
    blob = script.share(b"a", 2 * MAX_PIECE_BYTES)
    for _ in range(3):
        assert content(slave.get(blob.digest)) == b"a"
    assert script.asked == [blob.digest]
    assert len(script.pieces) == 3
    assert max(script.pieces) == MAX_PIECE_BYTES


def test_the_one_that_was_used_longest_ago_goes_and_is_fetched_again(
    script: Script, slave: Slave
) -> None:
    blobs = [script.share(letter) for letter in (b"a", b"b", b"c")]
    for blob in (*blobs[:2], blobs[0], blobs[2]):
        slave.get(blob.digest)
    assert script.asked == [blob.digest for blob in blobs]
    assert content(slave.get(blobs[0].digest)) == b"a"
    assert len(script.asked) == 3
    assert content(slave.get(blobs[1].digest)) == b"b"
    assert len(script.asked) == 4


def test_what_a_task_needs_that_waits_does_not_go(script: Script, slave: Slave) -> None:
    blobs = [script.share(letter) for letter in (b"a", b"b", b"c")]
    task = WireTask(1, 1, 1, CALL, b"f", b"arguments with " + blobs[0].digest)
    slave.work.take_in(1, [task], {b"f": b"a function"})
    for blob in blobs:
        slave.get(blob.digest)
    slave.get(blobs[0].digest)
    assert len(script.asked) == 3


def test_what_is_gone_is_told(script: Script, slave: Slave) -> None:
    blob = script.share(b"a")
    found = slave.get(blob.digest)
    digest = blob.digest
    del blob
    assert list(script.blobs.dropped) == [digest]
    slave.keeper.drop(script.blobs.dropped)
    with pytest.raises(BlobGone):
        read_blob(found.parts)
    assert slave.get(digest).refused == "it is gone"


def test_what_is_dropped_while_it_is_fetched_is_asked_for_again(
    script: Script, slave: Slave
) -> None:
    blob = script.share(b"a")

    def drop_once() -> None:
        script.before_piece = lambda: None
        slave.keeper.drop([blob.digest])

    script.before_piece = drop_once
    assert content(slave.get(blob.digest)) == b"a"
    assert script.asked == [blob.digest] * 2


def test_a_slave_that_has_to_join_again_meanwhile_asks_again(script: Script, slave: Slave) -> None:
    blob = script.share(b"a")
    slave.names = ["old", "s", "old", "old", "s"]
    assert content(slave.get(blob.digest)) == b"a"


def test_what_a_master_has_shared_that_is_gone_is_had_or_given_back(
    script: Script, slave: Slave
) -> None:
    had, had_not = script.share(b"a"), script.share(b"b")
    slave.get(had.digest)
    slave.caller.over.set()
    assert slave.get(had_not.digest).is_gone, "it cannot be asked"
    following = Script()
    slave.keeper.turn_to(Caller(5.0), cast(Any, following))
    assert content(slave.get(had.digest, is_inherited=True)) == b"a"
    assert slave.get(had_not.digest, is_inherited=True).is_gone
    assert following.asked == []
    again = following.share(b"b")
    assert content(slave.get(again.digest)) == b"b"
    assert content(slave.get(had_not.digest, is_inherited=True)) == b"b", "it is here now"


def test_memory_of_a_process_that_is_gone_is_not_told(script: Script, slave: Slave) -> None:
    blob = script.share(b"a")
    script.tells_paths = True
    assert content(slave.get(blob.digest)) == b"a"
    digest = blob.digest
    del blob
    assert slave.get(digest, is_inherited=True).is_gone
