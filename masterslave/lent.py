"""Large arguments on their way to a farm's own slaves: lent, in memory that their children read.

A farm and the slaves that it has started are of one user on one machine. So what is large is put
into a segment once, and a child reads it there; through messages and pipes it would be copied six
times. A loan is named by a reference, which takes the place of the arguments in a hand-out; its
first byte is none that a pickle begins with.

A segment is used again for another loan when the hand-out is settled. A child that was given up
meanwhile, and reads late, finds the number of another loan in it, before it reads or after, and
gives its hand-out back: it never runs a task with another one's arguments.

Linux only: a segment is a file without a name, which is opened as ``/proc/<pid>/fd/<number>``. It
is gone with the process that made it.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import threading

__all__ = ["LENT", "Lender", "read_lent"]

LENT = b"L"
"""First byte of a reference."""

MOST_LOANS = 64
KEPT_BYTES = 64 * 1024 * 1024
"""A segment that has grown beyond this is not kept."""

_REFERENCE = struct.Struct("<cIIQQ")  # LENT, process, descriptor, number, size
_HEAD = struct.Struct("<Q")  # number of the loan that is in the segment


class Lender:
    """Lends data to children on this machine.

    Threads: any.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[int] = []
        self._lent: set[bytes] = set()
        self._count = 0
        self._loans = 0
        self._closed = not (sys.platform == "linux" and hasattr(os, "memfd_create"))

    def lend(self, data: bytes) -> bytes | None:
        """Return a reference to a copy of *data*; None where there is none: send the data itself.

        Blocks: for the copy, which other threads may use.
        """
        with self._lock:
            if self._closed or (not self._free and self._count >= MOST_LOANS):
                return None
            self._loans += 1
            number = self._loans
            segment = self._free.pop() if self._free else -1
            self._count += segment < 0
        try:
            if segment < 0:
                segment = os.memfd_create("lent")
            os.pwrite(segment, _HEAD.pack(number), 0)
            written = 0
            while written < len(data):
                rest = memoryview(data)[written:] if written else data
                written += os.pwrite(segment, rest, _HEAD.size + written)
        except OSError:  # no memory, or too many files
            self._drop(segment)
            return None
        reference = _REFERENCE.pack(LENT, os.getpid(), segment, number, len(data))
        with self._lock:
            self._lent.add(reference)
        return reference

    def take_back(self, reference: bytes) -> None:
        """The hand-out is settled: its loan may be overwritten. Once more does nothing."""
        with self._lock:
            if reference not in self._lent:
                return
            self._lent.discard(reference)
            _, _, segment, _, size = _REFERENCE.unpack(reference)
            if not self._closed and size <= KEPT_BYTES:
                self._free.append(segment)
                return
        self._drop(segment)

    def close(self) -> None:
        """Let go of all memory; what is lent cannot be read any more."""
        with self._lock:
            self._closed = True
            lent = [_REFERENCE.unpack(reference)[2] for reference in self._lent]
            segments, self._free = [*self._free, *lent], []
            self._lent.clear()
        for segment in segments:
            self._drop(segment)

    def _drop(self, segment: int) -> None:
        with contextlib.suppress(OSError):
            os.close(segment)
        with self._lock:
            self._count -= 1


def read_lent(reference: bytes) -> bytes | None:
    """Return what was lent; None if it was taken back, or whoever lent it is gone."""
    try:
        _, process, segment, number, size = _REFERENCE.unpack(reference)
        descriptor = os.open(f"/proc/{process}/fd/{segment}", os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, struct.error):
        return None
    try:
        head = _HEAD.pack(number)
        if os.pread(descriptor, _HEAD.size, 0) != head:
            return None
        data = os.pread(descriptor, size, _HEAD.size)
        while len(data) < size:
            more = os.pread(descriptor, size - len(data), _HEAD.size + len(data))
            if not more:
                return None
            data += more
        return data if os.pread(descriptor, _HEAD.size, 0) == head else None
    except OSError:
        return None
    finally:
        os.close(descriptor)
