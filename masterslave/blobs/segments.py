"""Memory with an address that other processes of this user on this machine can open."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref

from msgspec import Struct

__all__ = ["HAS_MEMORY_FILES", "Arena", "Part", "Place", "Segment"]

HAS_MEMORY_FILES = sys.platform == "linux" and hasattr(os, "memfd_create")

_OWN_BYTES = 4 << 20
"""From here on, a part has a segment of its own, and its memory goes when it goes."""
_COMMON_BYTES = 16 << 20
_GRAIN = 64
_ADD_SEALS = 1033  # fcntl.F_ADD_SEALS, and seals, which Python has not all
_SHRINK, _GROW, _FUTURE_WRITE = 0x2, 0x4, 0x10


class Part(Struct, frozen=True, array_like=True):
    """Where bytes of a blob are: in a file, which is known by its device and inode.

    Attributes:
        offset: Of the first byte.
        size: How many bytes.
    """

    path: str
    device: int
    inode: int
    offset: int
    size: int


class Segment:
    """A memory file of *size* bytes, for good: a page that went away would kill who reads it.

    Raises:
        OSError: There is no memory, or there are too many files.
    """

    def __init__(self, size: int) -> None:
        name = ""
        if HAS_MEMORY_FILES:
            self.descriptor = os.memfd_create("shared", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            self.path = f"/proc/{os.getpid()}/fd/{self.descriptor}"
        else:
            import tempfile  # with a dozen modules that every child would have for nothing

            self.descriptor, name = tempfile.mkstemp(prefix="masterslave-")
            self.path = name
        self._close = weakref.finalize(self, _close, self.descriptor, name, os.getpid())
        try:
            os.ftruncate(self.descriptor, size)
        except BaseException:
            self._close()
            raise
        self._add_seals(_SHRINK | _GROW)
        found = os.fstat(self.descriptor)
        self.device, self.inode = found.st_dev, found.st_ino
        self.size = size

    def seal(self) -> None:
        """It is written no more, by nobody, other than through mappings that are there already."""
        self._add_seals(_FUTURE_WRITE)

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Copy bytes in; it fails where memory is short, and a mapping would kill the process."""
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self.descriptor, rest[: 64 << 20], offset)
            rest, offset = rest[written:], offset + written

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes."""
        return os.pread(self.descriptor, size, offset)

    def _add_seals(self, seals: int) -> None:
        if sys.platform == "linux":
            import fcntl

            with contextlib.suppress(OSError):  # an older kernel: it is a matter of good faith
                fcntl.fcntl(self.descriptor, _ADD_SEALS, seals)


class Place:
    """Bytes in a segment, which lives as long as they are of use."""

    __slots__ = ("offset", "segment", "size")

    def __init__(self, segment: Segment, offset: int, size: int) -> None:
        self.segment, self.offset, self.size = segment, offset, size

    @property
    def part(self) -> Part:
        """Where they are, for others."""
        segment = self.segment
        return Part(segment.path, segment.device, segment.inode, self.offset, self.size)

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Copy bytes in."""
        self.segment.write(data, self.offset + offset)

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes, as many as there are."""
        return self.segment.read(self.offset + offset, max(0, min(size, self.size - offset)))

    def finish(self) -> None:
        """All is written."""
        if self.size == self.segment.size:  # else others are written beside it
            self.segment.seal()


class Arena:
    """Finds places: small ones lie together, so that each does not take a file.

    Threads: any.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._common: weakref.ref[Segment] | None = None
        self._used = 0

    def place(self, size: int) -> Place:
        """Return a new place.

        Raises:
            OSError: As ``Segment``.
        """
        if size >= _OWN_BYTES:
            return Place(Segment(size), 0, size)
        with self._lock:
            common = self._common() if self._common is not None else None
            if common is None or self._used + size > common.size:
                common = Segment(_COMMON_BYTES)
                self._common, self._used = weakref.ref(common), 0
            offset = self._used
            self._used = -(-(offset + size) // _GRAIN) * _GRAIN
            return Place(common, offset, size)


def _close(descriptor: int, name: str, pid: int) -> None:
    with contextlib.suppress(OSError):
        os.close(descriptor)
    if name and os.getpid() == pid:
        with contextlib.suppress(OSError):
            os.unlink(name)
