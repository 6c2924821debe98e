"""From a blob to its object: what is large in it is a view of the memory that it lies in."""

from __future__ import annotations

import mmap
import os
import pickle
import struct
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from ..packed import unpack_value
from .segments import Part

__all__ = [
    "HEAD",
    "OBJECT",
    "RESULT",
    "BlobGone",
    "Head",
    "is_here",
    "open_blob",
    "open_parts",
    "read_blob",
]

OBJECT, RESULT = range(2)
"""Kinds: an object, pickled; a task's result, as ``masterslave.packed`` has written it."""

HEAD = struct.Struct("<I")
_SMALL_BYTES = 16 * 1024


class Head(Struct, array_like=True):
    """What a blob begins with, after the size of this.

    Attributes:
        kind: OBJECT or RESULT.
        size: Of the pickle that follows, in bytes.
        buffers: Part, offset in it, and size of each buffer beside the pickle.
    """

    kind: int
    size: int
    buffers: list[tuple[int, int, int]]


_decode_head = msgspec.msgpack.Decoder(Head).decode


class BlobGone(Exception):
    """A blob is not where it was said to be: it was dropped, or whoever had it is gone."""


def is_here(parts: Sequence[Part]) -> bool:
    """Tell whether this process can read a blob where it is."""
    try:
        for part in parts:
            os.close(_open(part))
    except BlobGone:
        return False
    return True


def read_blob(parts: Sequence[Part]) -> Any:
    """Return a blob's object; arrays in it cannot be written, and keep the memory mapped.

    Raises:
        BlobGone: It is not there.
        Exception: What unpickling raises.
    """
    return open_blob(parts)[1]()


def open_blob(parts: Sequence[Part]) -> tuple[int, Callable[[], Any]]:
    """Map a blob; returns its kind, and what makes its object, as often as it is called.

    Raises:
        BlobGone: It is not there.
    """
    return open_parts([_map(part) for part in parts])


def open_parts(memory: Sequence[memoryview]) -> tuple[int, Callable[[], Any]]:
    """Do the same with a blob whose parts are in memory."""
    first = memory[0]
    start = HEAD.size + HEAD.unpack(first[: HEAD.size])[0]
    head = _decode_head(first[HEAD.size : start])
    body = first[start : start + head.size]
    if head.kind == RESULT:
        return RESULT, partial(unpack_value, body)
    buffers = [memory[part][at : at + size] for part, at, size in head.buffers]
    return head.kind, partial(pickle.loads, body, buffers=buffers)


_lock = threading.Lock()
_mapped: weakref.WeakValueDictionary[tuple[int, int], mmap.mmap] = weakref.WeakValueDictionary()
"""Each file is mapped once, whatever is read in it: a mapping takes a descriptor."""


def _map(part: Part) -> memoryview:
    key = (part.device, part.inode)
    with _lock:
        mapping = _mapped.get(key)
        if mapping is None:
            descriptor = _open(part)
            try:
                if part.size < _SMALL_BYTES:
                    return memoryview(os.pread(descriptor, part.size, part.offset))
                mapping = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
            except OSError as error:
                raise BlobGone(f"it cannot be mapped: {error}") from error
            finally:
                os.close(descriptor)
            _mapped[key] = mapping
    return memoryview(mapping)[part.offset : part.offset + part.size]


def _open(part: Part) -> int:
    """Open the file of a part; whether it is still that one, its inode tells."""
    try:
        descriptor = os.open(part.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise BlobGone(f"{part.path} cannot be opened: {error.strerror}") from error
    found = os.fstat(descriptor)
    if (found.st_dev, found.st_ino) != (part.device, part.inode) or (
        found.st_size < part.offset + part.size
    ):
        os.close(descriptor)
        raise BlobGone(f"{part.path} is another file by now")
    return descriptor
