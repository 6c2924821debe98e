"""The wire: any split gives the same messages; any bytes give messages, WireError, or a wait."""

from __future__ import annotations

import contextlib
import mmap
import struct
import sys
import time
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servants import calm, frame

from remoteobj import NotSendable, WireError
from remoteobj.wire import Decoder, Message, encode

LIMIT = 10_000
HEADER = 40
DIRECT = 64 * 1024  # from here on a message gets memory of its own before it is whole
MESSAGES = st.builds(
    Message,
    type=st.integers(0, 255),
    serializer=st.integers(0, 255),
    flags=st.integers(0, 63),
    sequence=st.integers(0, 65535),
    payload=st.binary(max_size=200),
)


def drain(decoder: Decoder) -> list[Message]:
    return list(iter(decoder.next_message, None))


@calm
@given(st.lists(MESSAGES, max_size=5), st.lists(st.integers(0, 1300)))
def test_every_split_gives_the_same_messages(messages: list[Message], cuts: list[int]) -> None:
    stream = b"".join(map(frame, messages))
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    decoder, seen = Decoder(LIMIT), []
    for start, end in pairwise(edges):
        decoder.feed(stream[start:end])
        seen += drain(decoder)
    assert seen == messages


@calm
@given(MESSAGES, MESSAGES)
def test_byte_by_byte_nothing_comes_too_early(first: Message, then: Message) -> None:
    stream = frame(first)
    decoder = Decoder(LIMIT)
    for position in range(len(stream)):
        assert decoder.next_message() is None
        decoder.feed(stream[position : position + 1])
    decoder.feed(frame(then)[:-1])  # what follows does not disturb it
    assert decoder.next_message() == first
    assert then.payload == b"" or decoder.next_message() is None


@calm
@given(MESSAGES, st.integers(0, HEADER - 1), st.integers(0, 255), st.binary(max_size=100))
def test_a_changed_header_is_an_error_or_a_wait_and_nothing_else(
    message: Message, position: int, value: int, after: bytes
) -> None:
    stream = bytearray(frame(message))
    stream[position] = value
    decoder = Decoder(LIMIT)
    decoder.feed(bytes(stream) + after)
    with contextlib.suppress(WireError):
        drain(decoder)


@calm
@given(st.binary(max_size=200))
def test_any_bytes_are_an_error_or_a_wait(data: bytes) -> None:
    decoder = Decoder(LIMIT)
    decoder.feed(data)
    try:
        assert decoder.next_message() is None
    except WireError:
        with pytest.raises(WireError):
            decoder.next_message()  # it stays one


# Messages with everything: annotations, and buffers that follow the payload.

NAMES = st.text("ABCDEFGHIJKLMNOPQ", min_size=4, max_size=4)
BUFFERS = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=300).map(bytearray),
    st.binary(max_size=300).map(lambda data: memoryview(bytearray(data))),
    st.integers(0, 40).map(lambda size: np.arange(size, dtype=np.float64)),
    st.integers(1, 6).map(lambda size: np.ones((size, 2, 3), dtype=np.int16)),
)
FULL = st.builds(
    Message,
    type=st.integers(0, 255),
    serializer=st.integers(0, 255),
    flags=st.integers(0, 63),
    sequence=st.integers(0, 65535),
    payload=st.binary(max_size=200),
    correlation=st.binary(min_size=16, max_size=16),
    annotations=st.dictionaries(NAMES, st.binary(max_size=40), max_size=3),
    buffers=st.lists(BUFFERS, max_size=4),
)


def arriving(stream: bytes, cuts: list[int], decoder: Decoder) -> Iterator[Message]:
    """Put a stream into a decoder in pieces, by whichever way it offers, as a socket does."""
    at = 0
    for end in [*sorted(cut for cut in cuts if 0 < cut < len(stream)), len(stream)]:
        while at < end:
            target = decoder.target()
            if target is None:
                decoder.feed(stream[at:end])
                at = end
            else:
                count = min(len(target), end - at)
                target[:count] = stream[at : at + count]
                at += count
                decoder.filled(count)
            yield from drain(decoder)


def fed(stream: bytes, cuts: list[int], decoder: Decoder) -> Iterator[Message]:
    """Put a stream into a decoder in pieces, by ``feed`` alone."""
    for start, end in pairwise([0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]):
        decoder.feed(stream[start:end])
        yield from drain(decoder)


def contents(message: Message) -> tuple[Any, ...]:
    """Return what a message says."""
    flags = message.flags & ~64  # whether there is a correlation
    buffers = [memoryview(buffer).tobytes() for buffer in message.buffers]
    fixed = (message.type, message.serializer, flags, message.sequence, message.correlation)
    return *fixed, bytes(message.payload), dict(message.annotations), buffers


def check(seen: list[Message], sent: list[Message]) -> None:
    """Fail unless all has arrived: equal, and each buffer of the kind that it was."""
    assert list(map(contents, seen)) == list(map(contents, sent))
    for there, here in zip(seen, sent, strict=True):
        for arrived, left in zip(there.buffers, here.buffers, strict=True):
            kind = type(memoryview(left).obj)  # a view arrives as what it views
            if kind in (bytes, bytearray):
                assert type(arrived) is kind
            else:
                assert not memoryview(arrived).readonly


@calm
@given(st.lists(FULL, max_size=4), st.lists(st.integers(0, 5000)), st.booleans())
def test_buffers_and_annotations_arrive_as_they_left_however_split(
    messages: list[Message], cuts: list[int], by_feed: bool
) -> None:
    way = fed if by_feed else arriving
    stream = b"".join(map(frame, messages))
    decoder = Decoder(1 << 20, takes_buffers=True)
    seen = list(way(stream, cuts, decoder))
    assert decoder.is_between_messages
    check(seen, messages)


EVERY_KIND = [b"x" * 300, bytearray(b"y" * 70), np.arange(9.0), b"", bytearray(), np.ones(0), b"z"]


def test_split_at_every_byte_and_into_single_bytes() -> None:
    first = Message(4, 82, 0, 7, b"payload", annotations={"KEYS": b"abc"}, buffers=EVERY_KIND)
    then = Message(5, 1, 0, 8, b"")
    stream = frame(first) + frame(then)
    for way in (arriving, fed):
        for cuts in [*([cut] for cut in range(len(stream))), list(range(len(stream)))]:
            seen = list(way(stream, cuts, Decoder(1 << 20, takes_buffers=True)))
            check(seen, [first, then])


@calm
@given(
    st.integers(DIRECT - 60, DIRECT + 60),
    st.integers(0, 70),
    st.lists(st.integers(0, 140_000), max_size=8),
    st.booleans(),
)
def test_where_a_message_gets_memory_of_its_own_nothing_is_lost(
    size: int, note: int, cuts: list[int], by_feed: bool
) -> None:
    large = Message(5, 82, 0, 1, b"p" * size, annotations={"KEYS": b"n" * note}, buffers=[b"b"])
    small = Message(4, 1, 0, 2, b"after")
    stream = frame(small) + frame(large) + frame(small)
    decoder = Decoder(1 << 20, takes_buffers=True)
    seen = list((fed if by_feed else arriving)(stream, cuts, decoder))
    check(seen, [small, large, small])


def test_what_arrived_is_the_receivers_own_and_stays() -> None:
    data = bytearray(frame(Message(4, 82, 0, 1, b"p" * DIRECT, buffers=[bytearray(5), np.ones(2)])))
    decoder = Decoder(1 << 20, takes_buffers=True)
    (message,) = arriving(bytes(data), [1000], decoder)
    message.buffers[0][:] = b"12345"
    memoryview(message.buffers[1]).cast("B")[0] = 1
    list(arriving(frame(Message(4, 82, 0, 2, b"q" * DIRECT, buffers=[bytearray(5)])), [], decoder))
    assert bytes(message.payload) == b"p" * DIRECT
    assert message.buffers[0] == b"12345"


@calm
@given(FULL)
def test_to_a_stock_peer_the_sizes_of_buffers_are_an_annotation_like_others(
    message: Message,
) -> None:
    decoder = Decoder(1 << 20)
    decoder.feed(encode(message)[0])
    (seen,) = drain(decoder)
    assert seen.buffers == ()
    assert ("RBUF" in seen.annotations) == bool(message.buffers)
    assert seen.payload == message.payload


@calm
@given(
    st.lists(FULL, min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=4),
    st.lists(st.integers(0, 3000), max_size=5),
)
def test_any_change_gives_messages_an_error_or_a_wait(
    messages: list[Message], changes: list[tuple[int, int]], cuts: list[int]
) -> None:
    stream = bytearray(b"".join(map(frame, messages)))
    for position, value in changes:
        stream[position % len(stream)] = value
    decoder = Decoder(LIMIT, takes_buffers=True)
    with contextlib.suppress(WireError):
        for seen in arriving(bytes(stream), cuts, decoder):
            assert sum(memoryview(buffer).nbytes for buffer in seen.buffers) <= LIMIT


# Limits.


@contextlib.contextmanager
def memory_below(most: int) -> Iterator[None]:
    """Fail if more memory than *most* is taken meanwhile."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("field", [14, 18], ids=["payload", "annotations"])
def test_four_gib_are_refused_on_the_header_alone(field: int) -> None:
    header = bytearray(frame(Message(4, 1, 0, 0, b"")))
    header[field - 2 : field + 2] = struct.pack("!I", 2**32 - 1)
    decoder = Decoder(2**28)
    with memory_below(100_000):
        decoder.feed(bytes(header))
        with pytest.raises(WireError, match="4294967295 bytes: at most 268435456"):
            decoder.next_message()


def announced(*sizes: tuple[int, int], payload: bytes = b"") -> bytes:
    """Return a message that announces buffers, by size and kind, without them."""
    told = b"".join(struct.pack("!QB", *size) for size in sizes)
    return frame(Message(4, 82, 0, 1, payload, annotations={"RBUF": told}))


def decoder_of(data: bytes, max_bytes: int) -> Decoder:
    decoder = Decoder(max_bytes, takes_buffers=True)
    decoder.feed(data)
    return decoder


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["bytes", "bytearray", "memory"])
@pytest.mark.parametrize("size", [2**21, 2**28, 2**32 + 5, 2**63, 2**64 - 1])
def test_large_buffers_are_refused_on_their_numbers_alone(kind: int, size: int) -> None:
    with memory_below(100_000):
        decoder = decoder_of(announced((size, kind)), 2**20)
        with pytest.raises(WireError, match=rf"{size + 64 + 17} bytes: at most 1048576"):
            decoder.next_message()


def test_the_buffers_of_a_message_count_together_and_with_its_payload() -> None:
    def take(max_bytes: int) -> Message | None:
        data = announced((1000, 0), (1000, 1), (1000, 2), payload=b"p" * 1000)
        return decoder_of(data, max_bytes).next_message()

    exact = 4000 + 8 + 27 + 3 * 64  # payload and buffers, what announces them, and what they cost
    assert take(exact) is None
    with pytest.raises(WireError, match=rf"{exact} bytes: at most {exact - 1}"):
        take(exact - 1)


def test_a_million_empty_buffers_are_no_small_message() -> None:
    data = announced(*[(0, 0)] * 1_000_000)
    with memory_below(3 * len(data)):
        decoder = decoder_of(data, 32 << 20)
        with pytest.raises(WireError, match="at most"):
            decoder.next_message()


@pytest.mark.parametrize("told", [b"x", bytes(10), struct.pack("!QB", 1, 3), b"\xff" * 9])
def test_sizes_that_cannot_be_read_are_an_error(told: bytes) -> None:
    data = frame(Message(4, 82, 0, 1, b"", annotations={"RBUF": told}))
    with pytest.raises(WireError, match="buffer"):
        decoder_of(data, 2**20).next_message()


@pytest.mark.parametrize("kind", [0, 2], ids=["bytes", "memory"])
def test_more_than_four_gib_arrive(kind: int) -> None:
    size = 5 << 30
    decoder = decoder_of(announced((size, kind), (3, 0)), 2**40)
    try:
        assert decoder.next_message() is None
    except (MemoryError, OSError):
        pytest.skip("this machine does not lend 5 GiB of addresses")
    while (target := decoder.target()) is not None and len(target) > 3:
        decoder.filled(min(len(target), 2**30 + 1))  # nothing is written: it takes no memory
    target = None
    assert decoder.next_message() is None
    decoder.feed(b"end")
    message = decoder.next_message()
    assert message is not None
    assert [memoryview(buffer).nbytes for buffer in message.buffers] == [size, 3]
    assert message.buffers[1] == b"end"
    assert memoryview(message.buffers[0])[size - 1] == 0


@pytest.mark.skipif(sys.platform == "win32", reason="memory is lent there only if there is enough")
def test_more_than_four_gib_leave_as_buffers_and_not_as_a_payload() -> None:
    with contextlib.closing(mmap.mmap(-1, (4 << 30) + 4096)) as lazy, memoryview(lazy) as huge:
        with pytest.raises(NotSendable, match="4294971392 bytes cannot be sent: at most"):
            encode(Message(5, 82, 0, 1, huge))
        parts = encode(Message(5, 82, 0, 1, b"", buffers=[huge]))
        assert [len(part) for part in parts] == [HEADER + 17, len(huge)]
        assert decoder_of(bytes(parts[0]), 2**33).next_message() is None
        del parts


def test_another_version_is_named() -> None:
    data = bytearray(frame(Message(4, 1, 0, 0, b"")))
    data[4:6] = struct.pack("!H", 501)
    decoder = Decoder(LIMIT)
    decoder.feed(bytes(data))
    with pytest.raises(WireError, match="version 501"):
        decoder.next_message()


def test_annotations_arrive() -> None:
    message = Message(4, 1, 0, 7, b"payload", annotations={"KEYS": b"abc", "NONE": b""})
    decoder = Decoder(LIMIT)
    decoder.feed(frame(message))
    assert decoder.next_message() == message


@pytest.mark.parametrize(
    "chunks", [b"x", b"KEYS", b"KEYS\0\0\0", b"KEYS\0\0\0\1", b"\xff\0\0\0\0\0\0\0", b"K" * 8]
)
def test_annotations_that_cannot_be_read_are_an_error(chunks: bytes) -> None:
    stream = bytearray(frame(Message(4, 1, 0, 7, b"")) + chunks)
    stream[16:20] = struct.pack("!I", len(chunks))
    with pytest.raises(WireError, match="annotations"):
        decoder_of(bytes(stream), LIMIT).next_message()


def receive_s(size: int) -> float:
    stream, chunk = frame(Message(5, 1, 0, 0, bytes(size))), 65536
    decoder, started = Decoder(2**28), time.thread_time()
    for start in range(0, len(stream), chunk):
        assert decoder.next_message() is None
        decoder.feed(stream[start : start + chunk])
    message = decoder.next_message()
    assert message is not None
    assert len(message.payload) == size
    return time.thread_time() - started


def test_taking_in_a_large_message_takes_linear_time() -> None:
    assert receive_s(64 << 20) < 2.0  # linear: 0.1 s; quadratic: over 5 s
