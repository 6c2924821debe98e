"""Reading the log that SQLite keeps beside its file, to find out what SQLite does not say.

What is in the log counts for SQLite up to the first frame that is damaged, and the rest is dropped
without a word, because a process that was killed while it wrote leaves the same behind. But such a
process leaves no whole commit behind that frame. Where there is one, it was acknowledged once, and
the log before it is damaged.

Source: https://www.sqlite.org/fileformat2.html#walformat
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

__all__ = ["has_lost_changes"]

_MAGIC = 0x377F0682  # the last bit says how the words are written that are summed up
_HEADER, _FRAME_HEADER = struct.Struct(">8I"), struct.Struct(">6I")
_LEAST_PAGE_BYTES, _MOST_PAGE_BYTES = 512, 65536

Pair = tuple[int, int]


class _Frame(NamedTuple):
    is_commit: bool
    salts: Pair
    sum: Pair
    """As it was written; it goes on from that of the frame before."""

    summed: bytes
    """What it is of."""


def has_lost_changes(path: Path) -> bool:
    """Tell whether changes that were once kept in a log cannot be read any more.

    Nobody may write to it meanwhile.

    Raises:
        OSError: It cannot be read.
    """
    if not path.exists() or path.stat().st_size <= _HEADER.size:
        return False
    with path.open("rb") as log:
        header = log.read(_HEADER.size)
        magic, _, page_bytes, _, *salts, one, two = _HEADER.unpack(header)
        order, before = "<>"[magic & 1], (one, two)
        if magic & ~1 != _MAGIC or _sum(order, header[:24], (0, 0)) != before:
            return True
        if not _LEAST_PAGE_BYTES <= page_bytes <= _MOST_PAGE_BYTES:
            return True
        is_whole = True
        for frame in _frames(log, page_bytes):
            follows = frame.salts == tuple(salts) and (
                _sum(order, frame.summed, before) == frame.sum
            )
            if follows and frame.is_commit and not is_whole:
                return True
            is_whole = is_whole and follows
            before = frame.sum
    return False


def _frames(log: BinaryIO, page_bytes: int) -> Iterator[_Frame]:
    """Return what has the form of a frame: also what an earlier use of the file has left."""
    while len(raw := log.read(_FRAME_HEADER.size + page_bytes)) == _FRAME_HEADER.size + page_bytes:
        _, pages, salt, other_salt, one, two = _FRAME_HEADER.unpack_from(raw)
        summed = raw[:8] + raw[_FRAME_HEADER.size :]
        yield _Frame(pages > 0, (salt, other_salt), (one, two), summed)


def _sum(order: str, data: bytes, before: Pair) -> Pair:
    one, two = before
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for word, next_word in zip(words, words, strict=True):
        one = (one + word + two) & 0xFFFFFFFF
        two = (two + next_word + one) & 0xFFFFFFFF
    return one, two
