"""Code that travels: the modules of a script, as its slaves' children are to see them.

A *code set* is a list of entries, each a module's name and the hash of its source. It has a name
itself, the hash of that list, and a function that wants it says so before its pickled bytes::

    C  name of the code set (16 bytes)  pickled function

Sets of one farm grow while the script imports modules; a set in which a name stands for another
source than before is for other children.

Children load this module by its file, without the packages around it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

__all__ = [
    "COMPILED",
    "DATA",
    "MAIN",
    "MODULE",
    "NOTHING",
    "PACKAGE",
    "SPACE",
    "CodeSet",
    "Entry",
    "code_of",
    "folder_of",
    "pack_entries",
    "unpack_entries",
    "with_code",
    "without_code",
]

_CODED = b"C"
_NAME_BYTES = 16

MODULE, PACKAGE, SPACE, DATA, COMPILED, MAIN = (
    "module",
    "package",
    "space",
    "data",
    "compiled",
    "main",
)
"""What an entry is: a module; a package with its ``__init__``; one without (a namespace); a data
file, whose *name* is empty; an extension module, which is loaded where its file is the same one;
the script, whose source is for tracebacks only."""


class Entry(Struct, frozen=True, array_like=True):
    """One module, or one file.

    Attributes:
        kind: See above.
        name: The module's full name.
        file: Where it is on the script's machine.
        source: Hash of its content; empty for a namespace; of a compiled one, size and time.
    """

    kind: str
    name: str
    file: str
    source: bytes


class CodeSet:
    """Entries, and all that has to travel for them.

    Attributes:
        name: Hash of the entries.
        parts: What slaves need, by hash: the sources, and by the set's name, the entries.
    """

    def __init__(self, name: bytes, parts: dict[bytes, bytes]) -> None:
        self.name, self.parts = name, parts


NOTHING = CodeSet(b"", {})
"""Of a function that needs no module of the script's."""


def with_code(code: CodeSet, pickled: bytes) -> bytes:
    """Return a pickled function that wants this code set."""
    return _CODED + code.name + pickled if code.name else pickled


def code_of(packed: bytes) -> bytes:
    """Return the name of the code set that a packed function wants; empty for none."""
    return packed[1 : 1 + _NAME_BYTES] if packed[:1] == _CODED else b""


def without_code(packed: bytes) -> bytes | memoryview:
    """Return the function as pickle wrote it."""
    return memoryview(packed)[1 + _NAME_BYTES :] if packed[:1] == _CODED else packed


def pack_entries(entries: Iterable[Entry]) -> bytes:
    """Return entries as they travel."""
    return msgspec.msgpack.encode(tuple(entries))


unpack_entries = msgspec.msgpack.Decoder(tuple[Entry, ...]).decode


def folder_of(file: str) -> str:
    """Return the folder of a file that may be of another operating system."""
    return file[: max(file.rfind("/"), file.rfind("\\"), 0)]
