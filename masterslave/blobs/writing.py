"""From an object to its blob."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from masterslave.blobs.reading import HEAD, OBJECT, Head
from masterslave.blobs.segments import Arena, Place

__all__ = ["Contents", "store"]

_GRAIN = 64


class Contents(NamedTuple):
    """What a blob is made of.

    Attributes:
        body: The pickle.
        buffers: What is beside it.
        kind: OBJECT or RESULT.
    """

    body: bytes | memoryview
    buffers: Sequence[memoryview] = ()
    kind: int = OBJECT

    def digest(self) -> bytes:
        """Return the name of the content. Some 0.9 GB/s; other threads may run meanwhile."""
        digest = hashlib.blake2b(digest_size=16)
        sizes = [self.kind, len(self.body), *(buffer.nbytes for buffer in self.buffers)]
        digest.update(msgspec.msgpack.encode(sizes))
        digest.update(self.body)
        for buffer in self.buffers:
            digest.update(buffer)
        return digest.digest()


def store(
    contents: Contents, arena: Arena, find: Callable[[memoryview], Place | None]
) -> list[Place]:
    """Write a blob; returns its parts.

    Args:
        find: Returns where a buffer is already, if it is in memory that can be handed on.
    Raises:
        OSError: There is no memory for it.
    """
    places: list[Place] = []
    placed: list[tuple[int, int, int]] = []
    copied: list[tuple[memoryview, int]] = []
    end = 0  # counted from where the copied buffers begin
    for buffer in contents.buffers:
        place = find(buffer)
        if place is not None:
            places.append(place)
            placed.append((len(places), 0, buffer.nbytes))
        else:
            placed.append((0, end, buffer.nbytes))
            copied.append((buffer, end))
            end = _aligned(end + buffer.nbytes)
    # Where they begin depends on the size of the head, which depends on that: leave room.
    size = len(contents.body)
    longest = len(msgspec.msgpack.encode(Head(contents.kind, size, placed))) + 9 * len(placed)
    start = _aligned(HEAD.size + longest + size)
    table = [(part, at if part else at + start, nbytes) for part, at, nbytes in placed]
    head = msgspec.msgpack.encode(Head(contents.kind, size, table))
    first = arena.place(start + end)
    first.write(HEAD.pack(len(head)) + head, 0)
    first.write(contents.body, HEAD.size + len(head))
    for buffer, at in copied:
        first.write(buffer, start + at)
    first.finish()
    return [first, *places]


def _aligned(offset: int) -> int:
    return -(-offset // _GRAIN) * _GRAIN
