"""What agents and children say to each other, beside what agents and masters do."""

from __future__ import annotations

import io
import os
import random
import threading

import pytest

from masterslave import packed
from masterslave.protocol import functions, hand_outs, outcomes, verbs
from masterslave.slave.child import frames, lane
from remoteobj.wire import SIMPLE

PROTOCOL = {
    name: getattr(module, name)
    for module in (functions, hand_outs, outcomes, verbs)
    for name in module.__all__
}


@pytest.mark.parametrize("name", ["Outcome", "ItemOutcome", "Raised", "Ask", "Instructions"])
def test_records_are_those_of_the_protocol(name: str) -> None:
    ours, theirs = getattr(frames, name), PROTOCOL[name]
    assert ours.__struct_fields__ == theirs.__struct_fields__
    assert ours.__struct_config__.array_like == theirs.__struct_config__.array_like


def test_calls_are_tasks_of_the_protocol() -> None:
    assert frames.Call.__struct_fields__ == hand_outs.WireTask.__struct_fields__
    assert frames.Call.__struct_config__.array_like


def test_lanes_speak_the_wire_of_remoteobj() -> None:
    assert lane._SIMPLE.format == SIMPLE.format


def test_numbers_are_those_of_the_protocol() -> None:
    names = [name for name in frames.__all__ if name.isupper() and name in PROTOCOL]
    assert len(names) == 20
    for name in names:
        assert getattr(frames, name) == PROTOCOL[name], name
    assert packed.MAX_PAYLOAD_BYTES == hand_outs.MAX_PAYLOAD_BYTES


def test_frames_arrive_with_their_tails() -> None:
    reading, writing = os.pipe()
    draw = random.Random(5)
    sent = []
    for _ in range(50):
        tail = draw.randbytes(draw.choice([0, 1, 100_000, 3_000_000]))
        numbers = [draw.randrange(100) for _ in range(draw.randrange(1000))]
        sent.append((numbers, tail))

    def write() -> None:
        for numbers, tail in sent:
            frames.write_frame(writing, [frames.Flush(), frames.Reclaim(numbers)], tail)
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(reading, "rb") as stream:
        for numbers, tail in sent:
            assert frames.read_frame(stream) is not None
            read = frames.read_frame(stream)
            assert read is not None
            assert (frames.Reclaim(numbers), tail) == (decode(read[0]), read[1])
        assert frames.read_frame(stream) is None
    writer.join()


def decode(body: bytes) -> frames.Reclaim:
    import msgspec

    return msgspec.msgpack.decode(body, type=frames.Reclaim)


def test_a_frame_that_breaks_off_is_the_end() -> None:
    reading, writing = os.pipe()
    frames.write_frame(writing, [frames.Reclaim([1, 2, 3])], b"tail")
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        whole = stream.read()
    for size in range(len(whole)):
        assert frames.read_frame(io.BytesIO(whole[:size])) is None
    assert frames.read_frame(io.BytesIO(whole + b"more")) is not None
