"""The wire: any split gives the same messages; any bytes give messages, WireError, or a wait."""

from __future__ import annotations

import contextlib
import struct
import time
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servants import calm, frame

from remoteobj import WireError
from remoteobj.wire import Decoder, Message

LIMIT = 10_000
HEADER = 40
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


@pytest.mark.parametrize("field", [14, 18], ids=["payload", "annotations"])
def test_four_gib_are_refused_on_the_header_alone(field: int) -> None:
    header = bytearray(frame(Message(4, 1, 0, 0, b"")))
    header[field - 2 : field + 2] = struct.pack("!I", 2**32 - 1)
    decoder = Decoder(2**28)
    tracemalloc.start()
    try:
        decoder.feed(bytes(header))
        with pytest.raises(WireError, match="4294967295 bytes: at most 268435456"):
            decoder.next_message()
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


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
