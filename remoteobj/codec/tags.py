"""The numbers that stand for types in the bytes; once released, a number keeps its meaning.

Containers are maps of one entry, ``{number: content}``: maps of a user's with keys other than text
are written as ``{DICT: [keys, values]}``, so the two cannot be mistaken. Leaves are extensions
of MessagePack, ``(number, bytes)``. Both keep the depth of the bytes near that of the value, and
nothing is written twice.
"""

from __future__ import annotations

from typing import Final

# Containers.
TUPLE: Final = 1
SET: Final = 2
FROZENSET: Final = 3
DICT: Final = 4
DEQUE: Final = 5
RANGE: Final = 6
FRACTION: Final = 7
ENUM: Final = 8
RECORD: Final = 9
EXCEPTION: Final = 10
ARRAY: Final = 11
SCALAR: Final = 12
BUFFER: Final = 13
MEMORYVIEW: Final = 14

# Lists, written together: see remoteobj.codec.many.
ROWS: Final = 15
TUPLES: Final = 16
RECORDS: Final = 17
DATETIMES: Final = 18

# Leaves.
BIG_INT: Final = 1
TEXT: Final = 2
BYTEARRAY: Final = 3
COMPLEX: Final = 5
DATETIME: Final = 6
DATE: Final = 7
TIME: Final = 8
TIMEDELTA: Final = 9
DECIMAL: Final = 10
UUID: Final = 11
PATH: Final = 12
URI: Final = 13
PROXY: Final = 14

OUT_OF_BAND_BYTES: Final = 4096
"""From this size on, data goes into a buffer of its own."""

MAX_DEPTH: Final = 200
"""How many containers may stand in one another, unless another number is given."""
