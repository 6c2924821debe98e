"""Functions that scripts have left with a farm, and the code that they want (pure).

Each is a note whose payloads are in the journal: parts of code sets by their hashes; which parts a
code set has; functions by their digests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from masterslave.journal.facts import Noted, Place

__all__ = [
    "CODE",
    "FUNCTION",
    "LEFT",
    "PART",
    "KnownCode",
    "KnownFunction",
    "name_in",
    "note_code",
    "note_function",
    "note_part",
    "read_code",
    "read_function",
    "wanted_code",
]

PART, CODE, FUNCTION = "part", "code set", "function"
LEFT = (PART, CODE, FUNCTION)
"""Kinds of notes about functions and code."""


class KnownFunction(Struct, frozen=True, array_like=True):
    """A function; its packed form is the note's payload.

    Attributes:
        code: Name of the code set that it wants; empty for none.
    """

    digest: bytes
    name: str
    kind: str
    is_named: bool = False
    code: bytes = b""


class KnownCode(Struct, frozen=True, array_like=True):
    """A code set: its name, and hashes of its parts."""

    name: bytes
    parts: tuple[bytes, ...]


_encode = msgspec.msgpack.encode
read_function = msgspec.msgpack.Decoder(KnownFunction).decode
read_code = msgspec.msgpack.Decoder(KnownCode).decode


def note_part(digest: bytes, place: Place) -> Noted:
    """Return the fact that a part of a code set is there; its hash is the body."""
    return Noted(PART, digest, (place,))


def note_code(known: KnownCode) -> Noted:
    """Return the fact that a code set is known."""
    return Noted(CODE, _encode(known))


def note_function(known: KnownFunction, place: Place) -> Noted:
    """Return the fact that a function is there."""
    return Noted(FUNCTION, _encode(known), (place,))


def wanted_code(notes: Sequence[Noted], functions: Iterable[bytes]) -> set[bytes]:
    """Return what these functions need: their digests, names of code sets, and hashes of parts."""
    wanted = set(functions)
    known = [read_function(note.body) for note in notes if note.kind == FUNCTION]
    codes = {one.code for one in known if one.digest in wanted}
    for code in [read_code(note.body) for note in notes if note.kind == CODE]:
        if code.name in codes:
            wanted |= {code.name, *code.parts}
    return wanted


def name_in(note: Noted) -> bytes:
    """Return the digest, name or hash of what a note is about."""
    if note.kind == PART:
        return note.body
    return read_code(note.body).name if note.kind == CODE else read_function(note.body).digest
