"""What a message says of shared memory may be anything: it is refused in words."""

from __future__ import annotations

import socket

import pytest

from remoteobj import WireError
from remoteobj.transport.shared import SharedMemory, SharedStream
from remoteobj.wire import SEGMENTS, Message, MessageType

NO_TEXT = b"\xa3a\xff\xfe"
DEEP = b"\x91" * 100_000
WORD_AND_MORE = b"\x97\x00\x00\xc2\x90\x90\x90"


@pytest.mark.parametrize(
    "word", [NO_TEXT, b"\x91" + NO_TEXT, b"\x81" + NO_TEXT + b"\x01", DEEP, WORD_AND_MORE + DEEP]
)
def test_what_a_message_says_of_segments(word: bytes) -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        memory = SharedMemory(SharedStream(one), 1 << 20, 1 << 20)
        with pytest.raises(WireError, match="says of segments cannot be read"):
            memory.unwrap(Message(MessageType.INVOKE, 42, 0, 0, b"", annotations={SEGMENTS: word}))
        memory.close()
