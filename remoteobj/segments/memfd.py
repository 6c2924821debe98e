"""What Linux gives for it: sealed memory files, mappings, and which pages of one were written.

Every system call of this package is made here, except ``os.close``.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import mmap
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from remoteobj import forks
from remoteobj.errors import WireError

if sys.platform == "linux":
    import fcntl

__all__ = [
    "MAX_SEGMENTS",
    "SegmentStatistics",
    "address_of",
    "are_supported",
    "copy",
    "drop_private_pages",
    "free_memory",
    "make_private",
    "map_peers",
    "new_segment",
    "populate",
]

MAX_SEGMENTS = 16
"""How many segments a Lender has at most. Each takes a descriptor on both sides; and a new segment
pays only when it comes back, so what a peer keeps for itself had better come inline."""

_CHUNK = 4 << 20
# Of Linux; the last two from 5.14 on, and not in Python's mmap.
_DONTNEED, _REMOVE, _POPULATE_READ, _POPULATE_WRITE = 4, 9, 22, 23


@dataclass(frozen=True, slots=True)
class SegmentStatistics:
    """What a Lender or a Borrower holds."""

    segments: int
    """Segments that are mapped."""

    in_use: int
    """Those of them that are lent, or borrowed."""

    bytes: int
    """Their memory, in bytes."""


@functools.cache
def are_supported() -> bool:
    """Tell whether memory can be lent here: Linux, and a CPython whose reference counts are exact.

    Where it is False, no class of this package may be used.
    """
    if sys.platform == "linux" and sys.implementation.name == "cpython":
        has_exact_counts = getattr(sys, "_is_gil_enabled", lambda: True)()
        has_seals = hasattr(os, "memfd_create") and hasattr(fcntl, "F_ADD_SEALS")
        has_addresses = importlib.util.find_spec("_ctypes") is not None
        return has_exact_counts and has_seals and has_addresses
    return False


def new_segment(
    size: int, buffers: Sequence[memoryview], offsets: Sequence[int]
) -> tuple[int, mmap.mmap]:
    """Make a sealed memory file of *size* bytes with *buffers* in it; return it and its mapping.

    Raises:
        OSError: The system has not the memory or the descriptors. Nothing is left behind.
    """
    fd = _new_file()
    try:
        os.ftruncate(fd, size)
        # write() fails where memory is short; a page that is first touched in a mapping would kill
        # the process. It is also faster for new pages: 28 ms for 64 MiB, 44 with zeroed ones.
        for buffer, offset in zip(buffers, offsets, strict=True):
            written = 0
            while written < buffer.nbytes:
                written += os.pwrite(fd, buffer[written:], offset + written)
        _take_pages_and_seal(fd, size)
        return fd, mmap.mmap(fd, size)
    except BaseException:
        os.close(fd)
        raise


def _new_file() -> int:
    if sys.platform == "linux":
        return os.memfd_create("remoteobj", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    raise OSError("only Linux has memory files")


def _take_pages_and_seal(fd: int, size: int) -> None:
    if sys.platform == "linux":
        os.posix_fallocate(fd, 0, size)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)


def _keeps_its_size(fd: int) -> bool:
    if sys.platform == "linux":
        needed = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
        return fcntl.fcntl(fd, fcntl.F_GET_SEALS) & needed == needed
    return False


def map_peers(fd: int, size: int) -> mmap.mmap:
    """Map a peer's memory file: writable, and what is written stays in this process.

    Raises:
        WireError: It is not a memory file of *size* bytes for good, or cannot be mapped.
    """
    try:
        found = os.fstat(fd).st_size
        is_fixed = _keeps_its_size(fd)  # fails for whatever is no memory file
        page_bytes = os.fstatvfs(fd).f_bsize
    except OSError as error:
        raise WireError(f"what came as a segment is no memory file: {error.strerror}") from None
    if page_bytes != mmap.PAGESIZE:
        raise WireError("what came as a segment is a memory file of huge pages")
    if not is_fixed:
        raise WireError("a segment came that its sender could make shorter")
    if found != size:
        raise WireError(f"a segment has {found} bytes, not {size}")
    try:
        return _map_private(fd, size)
    except OSError as error:
        raise WireError(f"a segment cannot be mapped here: {error.strerror}") from error


def _map_private(fd: int, size: int) -> mmap.mmap:
    return mmap.mmap(fd, size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)


def copy(target: memoryview, source: memoryview) -> None:
    """Copy bytes between buffers of one length, without keeping other threads waiting for long.

    64 MiB take 5.5 ms in each way. numpy lets go of the interpreter meanwhile: another thread gets
    its turn after 0.1 ms. One assignment would keep it 9.6 ms, chunks alone 5.4; with a sleep of no
    length between them it is 0.2 ms, for 1 ms more. os.pwrite() needs 11.5 ms.
    """
    if target.nbytes > _CHUNK and sys.modules.get("numpy") is not None:
        with forks.whole:
            import numpy as np  # it is here, or another thread is just importing it

        np.copyto(np.frombuffer(target, np.uint8), np.frombuffer(source, np.uint8))
        return
    for start in range(0, target.nbytes, _CHUNK):
        if start:
            time.sleep(0)
        target[start : start + _CHUNK] = source[start : start + _CHUNK]


def _advise(mapping: mmap.mmap, advice: int, start: int, stop: int) -> None:
    """Call madvise in pieces: Python does not let go of the interpreter meanwhile."""
    for place in range(start, stop, 8 * _CHUNK):
        mapping.madvise(advice, place, min(8 * _CHUNK, stop - place))


def populate(mapping: mmap.mmap) -> None:
    """Map all pages at once: 7 ms for 64 MiB, where 16,384 page faults take 20."""
    with contextlib.suppress(OSError):  # an older kernel: they come one by one
        _advise(mapping, _POPULATE_READ, 0, len(mapping))


def free_memory(mapping: mmap.mmap) -> None:
    """Give the memory of a memory file back to the system, though others may have it mapped."""
    with contextlib.suppress(OSError):
        _advise(mapping, _REMOVE, 0, len(mapping))


def make_private(mapping: mmap.mmap, extent: int) -> None:
    """Have a copy of the first *extent* bytes in this process, as if each page had been written.

    Raises:
        OSError: There is not the memory, or the kernel is older than 5.14.
    """
    _advise(mapping, _POPULATE_WRITE, 0, _in_pages(extent))


def address_of(mapping: mmap.mmap) -> int:
    """Return where a mapping begins."""
    with forks.whole:
        import ctypes  # 2 ms, and only who receives large buffers needs it

    return ctypes.addressof(ctypes.c_char.from_buffer(mapping))


def drop_private_pages(mapping: mmap.mmap, address: int, extent: int) -> None:
    """Forget what this process wrote into the first *extent* bytes.

    To forget everything would be right without asking, but costs 4.6 ms for 64 MiB: 1.1 ms, and
    3.5 more of page faults when they are read again. To ask the kernel takes 0.6 ms.

    Raises:
        OSError: The kernel refuses, as it does where all memory is locked.
    """
    start, stop = _written_range(address, _in_pages(extent))
    _advise(mapping, _DONTNEED, start, stop)


def _written_range(address: int, extent: int) -> tuple[int, int]:
    """Return a range that has every page in it which was, or might have been, written."""
    pages = extent // mmap.PAGESIZE
    flags = _page_flags(address, pages) if _are_flags_true() else b""
    if len(flags) != pages:
        return 0, extent
    marks = flags.translate(_IS_SUSPECT)
    first, last = marks.find(b"\1"), marks.rfind(b"\1")
    return (first * mmap.PAGESIZE, (last + 1) * mmap.PAGESIZE) if first >= 0 else (0, 0)


# Of the 64 bits that the kernel tells of a page (Documentation/admin-guide/mm/pagemap.rst) the
# highest three are: present, swapped, of a file or shared. A page that was written is a copy, which
# is not of the file. Only "present and of the file" and "nothing there" are taken for clean.
_ABOVE, _PRESENT_FILE_PAGE, _NO_PAGE = 0xE0, 0xA0, 0x00
_IS_SUSPECT = bytes(flag & _ABOVE not in {_PRESENT_FILE_PAGE, _NO_PAGE} for flag in range(256))


def _page_flags(address: int, pages: int) -> bytes:
    """Return the highest eight bits of each page; fewer where the kernel does not tell."""
    try:
        fd = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        try:
            entries = os.pread(fd, 8 * pages, 8 * (address // mmap.PAGESIZE))
        finally:
            os.close(fd)
    except OSError:
        return b""
    return entries[7::8] if sys.byteorder == "little" else entries[::8]


@functools.cache
def _are_flags_true() -> bool:
    """Try it with a page that is read and one that is written.

    Where it fails, all pages count as written: in some containers, and under qemu's user mode,
    which shows the pages of other addresses.
    """
    try:
        with open(_new_file(), "r+b", buffering=0) as file:
            file.truncate(2 * mmap.PAGESIZE)
            mapping = _map_private(file.fileno(), 2 * mmap.PAGESIZE)
    except OSError:
        return False
    mapping[mmap.PAGESIZE] = mapping[0] + 1
    flags = [flag & _ABOVE for flag in _page_flags(address_of(mapping), 2)]
    return len(flags) == 2 and flags[0] == _PRESENT_FILE_PAGE and _IS_SUSPECT[flags[1]] == 1


def _in_pages(extent: int) -> int:
    return -(-extent // mmap.PAGESIZE) * mmap.PAGESIZE
