"""The receiver's side: views of the sender's segments, and when the last of them is gone.

When is a segment let go of? When nothing refers to its mapping any more: a memoryview refers to the
object that it is a view of, and so do its slices and casts, not to each other; so does an array
that numpy makes of them. Two other ways were found wanting:

* To ask the mapping how many views it has exported (it refuses ``resize`` while there are any):
  ``numpy.ndarray(shape, dtype, view)`` refers to the mapping, but exports nothing.
* A weak reference to an exporter of its own for each message: a garbage collection calls it for a
  cycle before it runs the cycle's ``__del__`` methods, which may still read, or keep, the bytes.

So the Borrower keeps the mapping, and asks CPython how many references there are: as many as to an
object that is kept in the same way and that nobody else knows, or more. There is no finalizer.

A segment that is returned must show what its sender writes into it next, so pages that were written
here are dropped: all of them at a cost of 4.6 ms for 64 MiB, or those of which the kernel does not
say that they are clean, for 0.6 ms; see ``memfd``. An echo of 64 MiB::

    dropped without asking                  8,590 MB/s
    the kernel is asked                    10,830
    asked, and the server wrote into all    2,700, because each page it writes is copied first

Fork: the child sees the pages of its parent until either writes. The parent's segments would be
returned and filled anew under the child's eyes, so before a fork what is borrowed becomes a private
copy (27 ms for 64 MiB), or, where there is no memory for that, is never returned.
"""

from __future__ import annotations

import mmap
import os
import sys
import weakref
from collections.abc import Iterable, Sequence
from typing import cast

from remoteobj import forks
from remoteobj.errors import WireError
from remoteobj.segments import memfd
from remoteobj.segments.memfd import MAX_SEGMENTS, SegmentStatistics

__all__ = ["Borrower"]


class _Segment:
    __slots__ = ("address", "extent", "is_lost", "mapping", "number", "size")

    def __init__(self, number: int, size: int, mapping: mmap.mmap, address: int) -> None:
        self.number = number
        self.size = size
        self.mapping = mapping
        self.address = address
        self.extent = 0  # from here on nothing was borrowed, so nothing was written
        self.is_lost = False


_lock = forks.whole  # one for all Borrowers: a fork must find them all at rest


class Borrower:
    """Borrows memory from one peer, of which nothing is believed.

    Args:
        max_bytes: Largest segment, in bytes, and half of what all may have: the same as the peer's
            Lender has, which may be ahead of this by what it has dropped.

    Threads: any. The lock is held for moments only. It is re-entrant, because a garbage collection
    inside it may run anything, which may call; so what is there is claimed by one pop().
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._idle: dict[int, _Segment] = {}
        self._borrowed: dict[int, _Segment] = {}
        self._is_closed = False
        _borrowers.add(self)

    def accept(self, segment: int, fd: int, size: int) -> None:
        """Map a segment that is lent for the first time. *fd* is closed, whatever happens.

        Raises:
            WireError: It is not what a Lender lends, it is too much, the system cannot map it, or
                this is closed. Close the connection.
        """
        try:
            if not 0 < size <= self._max_bytes:
                raise WireError(f"a segment of {size} bytes came; at most {self._max_bytes} may")
            made = _map(segment, fd, size)
        finally:
            os.close(fd)
        with _lock:
            known = {**self._idle, **self._borrowed}
            if self._is_closed or segment in known:
                raise WireError(f"segment {segment} came twice, or too late")
            held = sum(each.size for each in known.values())
            if held + size > 2 * self._max_bytes or len(known) >= 2 * MAX_SEGMENTS:
                raise WireError(f"one segment too many came: {len(known)} of {held} bytes are here")
            self._idle[segment] = made

    def borrow(self, segment: int, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Return views of a segment's bytes, which may be written; nobody else sees what is.

        Args:
            segment: The number that came with the message.
            ranges: Offset and length of each buffer, in bytes.

        Raises:
            WireError: The segment is not here or not returned yet, or they are not ranges of it.
                Close the connection.
        """
        extent = 0
        for offset, nbytes in sorted(ranges):
            if offset < extent or nbytes < 0:
                raise WireError(f"buffers overlap in segment {segment}")
            extent = offset + nbytes
        with _lock:
            held = self._idle.get(segment)
            if held is None:
                raise WireError(f"segment {segment} is not here, or was not returned yet")
            if extent > held.size:
                raise WireError(f"a buffer ends outside segment {segment}")
            whole = memoryview(held.mapping)
            views = [whole[offset : offset + nbytes] for offset, nbytes in ranges]
            held.extent = extent
            self._borrowed[segment] = self._idle.pop(segment)
            return views

    def take_returned(self) -> list[int]:
        """Return, once, the numbers of segments that nothing here uses any more, for the peer.

        Blocks: 0.6 ms for 64 MiB that were let go of, 5 if they were written.
        """
        with _lock:
            if not self._borrowed:
                return []
            mine = [each for each in tuple(self._borrowed.values()) if not each.is_lost]
            claimed = [self._borrowed.pop(each.number, None) for each in _unreachable(mine)]
            let_go = [segment for segment in claimed if segment is not None]
        clean = [segment for segment in let_go if _is_cleaned(segment)]
        with _lock:
            if self._is_closed:
                return []
            self._idle.update((segment.number, segment) for segment in clean)
        return [segment.number for segment in clean]

    def drop(self, segments: Iterable[int]) -> None:
        """Forget segments that the peer lends no more; views of them, if there are any, stay valid.

        Raises:
            WireError: One of them is not here. Close the connection.
        """
        with _lock:
            for number in segments:
                where = self._idle if number in self._idle else self._borrowed
                if where.pop(number, None) is None:
                    raise WireError(f"segment {number} was dropped, but is not here")

    def statistics(self) -> SegmentStatistics:
        """Tell what is mapped for the peer; what was left behind by ``close`` is not counted."""
        with _lock:
            idle, borrowed = tuple(self._idle.values()), tuple(self._borrowed.values())
        size = sum(segment.size for segment in idle + borrowed)
        return SegmentStatistics(len(idle) + len(borrowed), len(borrowed), size)

    def close(self) -> None:
        """Forget all; views that are still used keep their memory until they die."""
        with _lock:
            self._is_closed = True
            mine = self._idle, self._borrowed
            self._idle, self._borrowed = {}, {}
        del mine  # what nobody uses is unmapped, outside the lock

    def __repr__(self) -> str:
        held = self.statistics()
        return f"<Borrower: {held.in_use} of {held.segments} segments used, {held.bytes} bytes>"


def _map(number: int, fd: int, size: int) -> _Segment:
    mapping = memfd.map_peers(fd, size)
    return _Segment(number, size, mapping, memfd.address_of(mapping))


def _unreachable(segments: Sequence[_Segment]) -> list[_Segment]:
    """Find the segments whose mappings nobody refers to but their records.

    The object that nobody refers to is counted in the same pass, by the same C code, so that it
    does not matter how many references that takes itself.
    """
    nobodys = _Segment(0, 0, cast("mmap.mmap", object()), 0)
    counts = list(map(sys.getrefcount, [each.mapping for each in (nobodys, *segments)]))
    return [each for each, count in zip(segments, counts[1:], strict=True) if count == counts[0]]


def _is_cleaned(segment: _Segment) -> bool:
    """Drop the pages that were written; where that cannot be, the segment is never returned."""
    try:
        memfd.drop_private_pages(segment.mapping, segment.address, segment.extent)
    except OSError:
        return False
    return True


_borrowers: weakref.WeakSet[Borrower] = weakref.WeakSet()


def _before_fork() -> None:
    _lock.acquire()
    for borrower in list(_borrowers):
        for segment in tuple(borrower._borrowed.values()):
            try:
                memfd.make_private(segment.mapping, segment.extent)
            except OSError:
                segment.is_lost = True


def _after_fork_in_child() -> None:
    for borrower in list(_borrowers):
        borrower.close()
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_lock.release,
        after_in_child=_after_fork_in_child,
    )
