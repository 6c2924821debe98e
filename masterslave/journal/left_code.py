"""Functions that scripts have left with a farm, the code that they want, and shared objects (pure).

Each is a note whose payloads are in the journal: parts of code sets by their hashes; which parts a
code set has; functions by their digests; shared objects by what handles name them.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

import msgspec
from msgspec import Struct

from masterslave.journal.facts import Noted, Place

__all__ = [
    "CODE",
    "FUNCTION",
    "LEFT",
    "PART",
    "SHARED",
    "KnownCode",
    "KnownFunction",
    "KnownObject",
    "name_in",
    "note_code",
    "note_function",
    "note_object",
    "note_part",
    "read_code",
    "read_function",
    "read_object",
    "wanted_code",
    "wanted_objects",
]

PART, CODE, FUNCTION, SHARED = "part", "code set", "function", "shared object"
LEFT = (PART, CODE, FUNCTION, SHARED)
"""Kinds of notes about functions, code and shared objects."""


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


class KnownObject(Struct, frozen=True, array_like=True):
    """An object that a ticket's tasks share; its pieces, in their order, are the note's payloads.

    Attributes:
        ticket: Number of the ticket.
        digest: What handles name it by.
        sizes: Of its parts, in bytes.
    """

    ticket: int
    digest: bytes
    sizes: tuple[int, ...]


_encode = msgspec.msgpack.encode
read_function = msgspec.msgpack.Decoder(KnownFunction).decode
read_object = msgspec.msgpack.Decoder(KnownObject).decode
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


def note_object(known: KnownObject, pieces: tuple[Place, ...]) -> Noted:
    """Return the fact that a shared object is there."""
    return Noted(SHARED, _encode(known), pieces)


def wanted_objects(notes: Sequence[Noted], tickets: Container[int]) -> set[bytes]:
    """Return what tasks of these tickets share, by what ``name_in`` says."""
    return {
        note.body
        for note in notes
        if note.kind == SHARED and read_object(note.body).ticket in tickets
    }


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
    """Return the digest, name or hash of what a note is about; of an object, all that it says."""
    if note.kind in (PART, SHARED):
        return note.body
    return read_code(note.body).name if note.kind == CODE else read_function(note.body).digest
