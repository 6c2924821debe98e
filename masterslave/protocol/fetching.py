"""How a slave fetches what the script has shared, when a task first needs it."""

from __future__ import annotations

from msgspec import Struct

from masterslave.blobs.segments import Part

__all__ = ["MAX_PIECE_BYTES", "BlobAnswer", "BlobAsk", "PieceAsk"]

MAX_PIECE_BYTES = 8 * 1024 * 1024
"""How much of a blob is fetched at a time, in bytes."""


class BlobAsk(Struct, frozen=True):
    """The slave needs a blob.

    Attributes:
        origin: The farm that has shared it, as the handle says.
    """

    slave: str
    digest: bytes
    origin: str


class BlobAnswer(Struct, frozen=True):
    """Where a blob is; or in ``refused`` why it is not to be had, and what to do.

    Attributes:
        parts: Their paths are empty for a slave of another machine or user; there are none for a
            result that is just arriving: ask again in a moment.
    """

    parts: tuple[Part, ...] = ()
    refused: str = ""


class PieceAsk(Struct, frozen=True):
    """The slave needs *size* bytes of a part of a blob, from *offset* on."""

    slave: str
    digest: bytes
    part: int
    offset: int
    size: int
