"""Both ends of a connection's one direction, and what a hostile peer may send."""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from remoteobj.segments import Borrower, Lender, are_supported

if sys.platform == "linux":
    import fcntl

needs_segments = pytest.mark.skipif(not are_supported(), reason="no sealed memory files here")

PAGE = mmap.PAGESIZE
GRAIN = 64 << 10
MIB = 1 << 20
SHRINK, GROW, ALL_SEALS = 0x2, 0x4, 0x7


class Link:
    """What a connection does with a Lender and the Borrower at its other end, without the wire."""

    def __init__(self, max_bytes: int = 64 * MIB, **options: Any) -> None:
        self.lender = Lender(max_bytes, **options)
        self.borrower = Borrower(max_bytes)

    def send(self, *buffers: Any) -> tuple[int, list[memoryview]]:
        """Send one message; return the number of its segment, and the buffers as they came."""
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        loan = self.lender.lend(views)
        assert loan is not None
        self.borrower.drop(self.lender.take_dropped())
        if loan.fd is not None:
            self.borrower.accept(loan.segment, os.dup(loan.fd), loan.size)
            self.lender.passed(loan.segment)
        ranges = [(offset, view.nbytes) for offset, view in zip(loan.offsets, views, strict=True)]
        return loan.segment, self.borrower.borrow(loan.segment, ranges)

    def answer(self) -> list[int]:
        """Have a message go back; return which segments it says are let go of."""
        numbers = self.borrower.take_returned()
        self.lender.returned(numbers)
        return numbers

    def close(self) -> None:
        self.lender.close()
        self.borrower.close()


def mapped_segments() -> int:
    return Path("/proc/self/maps").read_text().count("/memfd:remoteobj")


def make_memfd(size: int = PAGE, seals: int = ALL_SEALS, flags: int = 0) -> int:
    fd = os.memfd_create("hostile", os.MFD_ALLOW_SEALING | flags)
    os.ftruncate(fd, size)
    if seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
