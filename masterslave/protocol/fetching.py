"""How a slave fetches what the script has shared, when a task first needs it.

It asks the master where the blob is (``blob``). If it cannot read it there, it says that it fetches
it, from which piece on: the master answers with the name of a slave that has the blob, or is about
to have it, and with hashes of the next pieces. Each piece is asked for there (``piece``), checked
by its hash, and taken from the master where that slave has it not, or gives something else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from msgspec import Struct

from masterslave.blobs.segments import Part

__all__ = [
    "FINE",
    "GIVER_ID",
    "HASHES_AT_A_TIME",
    "LOST",
    "MAX_PIECE_BYTES",
    "SPREAD_BYTES",
    "WRONG",
    "BlobAnswer",
    "BlobAsk",
    "Piece",
    "PieceAsk",
    "hash_of_piece",
    "pieces_of",
]

MAX_PIECE_BYTES = 8 * 1024 * 1024
"""How much of a blob is fetched at a time, in bytes."""

SPREAD_BYTES = 1024 * 1024
"""Smaller blobs are fetched from the master alone."""

HASHES_AT_A_TIME = 16
"""Hashes in one answer: of 128 MiB, which take the master 0.15 s where they are not known yet."""

GIVER_ID = "masterslave.giver"
"""Id in its daemon of what a slave gives pieces by, to other slaves."""

FINE, LOST, WRONG = range(3)
"""What is said of a slave that gives pieces: it does; it does not, or not in time; it has given
other bytes than those asked for."""


class Piece(Struct, frozen=True, array_like=True):
    """Some of a blob, which is fetched at a time."""

    part: int
    offset: int
    size: int


class BlobAsk(Struct, frozen=True):
    """The slave needs a blob.

    Attributes:
        origin: The farm that has shared it, as the handle says.
        fetches: It cannot read the blob where it is, and fetches it: the number of the piece that
            is next; -1: it asks where it is.
        giver: The slave that it was sent to for the pieces before that, by its address.
        how: How that one is: ``FINE``, ``LOST`` or ``WRONG``.
        given: How many bytes it had from other slaves, by their addresses, since it said so last.
    """

    slave: str
    digest: bytes
    origin: str
    fetches: int = -1
    giver: str = ""
    how: int = FINE
    given: dict[str, int] = {}


class BlobAnswer(Struct, frozen=True):
    """Where a blob is; or in ``refused`` why it is not to be had, and what to do.

    Attributes:
        parts: Their paths are empty for a slave of another machine or user; there are none for a
            result that is just arriving: ask again in a moment.
        giver: A slave that gives its pieces, by its address; empty: the master does.
        hashes: If there is one, of the pieces from the one on that was named, as many as are told
            at a time.
    """

    parts: tuple[Part, ...] = ()
    refused: str = ""
    giver: str = ""
    hashes: tuple[bytes, ...] = ()


class PieceAsk(Struct, frozen=True):
    """The slave needs *size* bytes of a part of a blob, from *offset* on.

    Attributes:
        slave: Empty where another slave is asked: its name is a secret of it and the master.
    """

    slave: str
    digest: bytes
    part: int
    offset: int
    size: int


def pieces_of(sizes: Iterable[int]) -> list[Piece]:
    """Return the pieces of a blob in the order in which they are fetched, by its parts' sizes."""
    return [
        Piece(part, offset, min(MAX_PIECE_BYTES, size - offset))
        for part, size in enumerate(sizes)
        for offset in range(0, size, MAX_PIECE_BYTES)
    ]


def hash_of_piece(data: bytes | memoryview) -> bytes:
    """Return the hash by which a piece is checked that another slave has given."""
    return hashlib.blake2b(data, digest_size=16).digest()
