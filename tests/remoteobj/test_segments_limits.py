"""Memory that is lent has its limits, and a peer that lies is refused."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from remoteobj import WireError
from remoteobj.segments import MAX_SEGMENTS, Borrower, Lender, are_supported, memfd

if sys.platform == "linux":
    import fcntl
    import resource


from segments_link import (
    ALL_SEALS,
    GRAIN,
    GROW,
    MIB,
    PAGE,
    SHRINK,
    Link,
    is_open,
    make_memfd,
    mapped_segments,
    needs_segments,
)

pytestmark = needs_segments


@pytest.fixture
def link() -> Iterator[Link]:
    with contextlib.closing(Link()) as made:
        yield made


# -- limits, and giving memory back


def test_more_than_the_limit_is_not_lent() -> None:
    link = Link(MIB)
    assert link.lender.lend([memoryview(bytes(MIB + 1))]) is None
    _, held = link.send(bytes(MIB // 2))
    assert link.lender.lend([memoryview(bytes(MIB // 2 + 1))]) is None
    assert link.lender.lend([]) is None
    assert link.lender.lend([memoryview(b"")]) is None
    _, more = link.send(bytes(MIB // 2))
    assert link.lender.lend([memoryview(b"x")]) is None
    del held, more
    link.answer()
    link.send(b"x")
    link.close()


def test_no_more_segments_than_the_limit_are_lent(link: Link) -> None:
    held = [link.send(b"x") for _ in range(MAX_SEGMENTS)]
    assert link.lender.lend([memoryview(b"x")]) is None
    held.pop()
    link.answer()
    link.send(b"x")


def test_free_segments_make_room_and_are_dropped_once() -> None:
    link = Link(MIB)
    old, small = link.send(bytes(MIB // 2)), link.send(bytes(MIB // 4))
    dropped, kept = old[0], small[0]
    del old
    link.answer()
    loan = link.lender.lend([memoryview(bytes(3 * MIB // 4))])
    assert loan.segment not in {dropped, kept}
    assert link.lender.take_dropped() == [dropped]
    assert link.lender.take_dropped() == []
    assert link.lender.statistics().bytes == MIB
    link.lender.passed(loan.segment)
    link.close()


def test_free_segments_are_limited_and_the_longest_unused_go_first() -> None:
    link = Link(MIB, max_free_bytes=MIB // 2)
    held = [link.send(bytes(MIB // 4)) for _ in range(4)]
    numbers = [number for number, _ in held]
    for _ in range(4):
        del held[0]
        link.answer()
    assert link.lender.take_dropped() == numbers[:2]
    assert link.lender.statistics().bytes == MIB // 2
    link.close()


def test_free_segments_that_are_not_used_are_dropped() -> None:
    now = 100.0
    link = Link(MIB, max_unused_s=5.0, clock=lambda: now)
    held = [link.send(bytes(GRAIN)) for _ in range(3)]
    numbers = [number for number, _ in held]
    del held[0]
    link.answer()
    now = 103.0
    del held[0]
    link.answer()
    assert link.lender.take_dropped() == []
    now = 105.0
    del held[0]
    link.answer()
    assert link.lender.take_dropped() == numbers[:1]
    now = 108.0
    assert link.lender.lend([memoryview(b"x")]).segment == numbers[2]
    assert link.lender.take_dropped() == numbers[1:2]
    link.lender.drop_unused()
    assert link.lender.take_dropped() == []  # a lent one stays
    link.close()


def test_dropped_memory_is_free_before_the_peer_hears_of_it(link: Link) -> None:
    loan = link.lender.lend([memoryview(bytes(MIB))])
    with open(os.dup(loan.fd), "rb") as file:
        link.borrower.accept(loan.segment, os.dup(loan.fd), loan.size)
        link.lender.passed(loan.segment)
        link.borrower.borrow(loan.segment, [(0, MIB)])
        assert os.fstat(file.fileno()).st_blocks * 512 == MIB
        link.answer()
        link.lender.drop_unused(60.0)
        assert os.fstat(file.fileno()).st_blocks * 512 == MIB
        link.lender.drop_unused()
        assert os.fstat(file.fileno()).st_blocks == 0
    assert mapped_segments() == 1
    link.borrower.drop(link.lender.take_dropped())
    assert mapped_segments() == 0
    assert link.borrower.statistics().segments == 0
    link.send(bytes(MIB))


@pytest.mark.parametrize("limit", ["RLIMIT_NOFILE", "RLIMIT_FSIZE"])
def test_where_the_system_has_not_the_memory_it_is_sent_inline(link: Link, limit: str) -> None:
    number = getattr(resource, limit)
    old = resource.getrlimit(number)
    before = len(os.listdir("/proc/self/fd"))
    least = os.open("/", os.O_RDONLY)
    os.close(least)
    resource.setrlimit(number, (least + 1 if limit == "RLIMIT_NOFILE" else GRAIN, old[1]))
    try:  # with one descriptor free, there is one for the file, and none for its mapping
        assert link.lender.lend([memoryview(bytes(2 * GRAIN))]) is None
    finally:
        resource.setrlimit(number, old)
    assert len(os.listdir("/proc/self/fd")) == before
    assert link.lender.statistics().segments == 0
    link.send(bytes(2 * GRAIN))


def test_a_new_segment_has_all_its_pages(link: Link) -> None:
    """A page that is made when it is first touched kills the process where memory is short."""
    loan = link.lender.lend([memoryview(b"x")])
    assert os.fstat(loan.fd).st_blocks * 512 == loan.size == GRAIN
    assert fcntl.fcntl(loan.fd, fcntl.F_GET_SEALS) & ALL_SEALS == ALL_SEALS
    with pytest.raises(PermissionError):
        os.ftruncate(loan.fd, PAGE)
    link.lender.passed(loan.segment)
    assert not is_open(loan.fd)


# -- a send that fails, and a peer that lies


def test_a_loan_can_be_withdrawn(link: Link) -> None:
    lender = link.lender
    loan = lender.lend([memoryview(b"x")])
    lender.withdraw(loan)
    assert not is_open(loan.fd)
    assert lender.statistics().segments == 0
    assert lender.take_dropped() == []  # the peer never heard of it
    number, views = link.send(b"x")
    views.clear()
    link.answer()
    again = lender.lend([memoryview(b"y")])
    assert again.segment == number
    lender.withdraw(again)
    assert lender.statistics().in_use == 0
    assert link.send(b"z")[0] == number


def test_a_buffer_that_cannot_be_read_leaves_nothing_lent(link: Link) -> None:
    released = memoryview(bytes(100))
    released.release()
    for wrong in (released, memoryview(bytes(100))[::2]):
        with pytest.raises((ValueError, TypeError)):
            link.lender.lend([memoryview(b"x" * 100), wrong])
        assert link.lender.statistics().in_use == 0


@pytest.mark.parametrize("step", ["new_segment", "copy"])
def test_a_lend_that_is_interrupted_leaves_nothing_lent(
    link: Link, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    if step == "copy":
        link.send(b"x")
        link.answer()
    before = link.lender.statistics()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(memfd, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        link.lender.lend([memoryview(b"x")])
    assert link.lender.statistics() == before


def test_a_peer_returns_only_what_it_has(link: Link) -> None:
    number, views = link.send(b"x")
    views.clear()
    for numbers in ([0], [-1], [number + 1], [10**30], [number, number]):
        with pytest.raises(WireError):
            link.lender.returned(numbers)
    with pytest.raises(WireError):
        link.lender.returned([number])


def test_a_peer_cannot_return_a_segment_that_is_being_made(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = memfd.new_segment

    def make_late(*arguments: Any) -> Any:
        with pytest.raises(WireError):
            link.lender.returned([1])
        return make(*arguments)

    monkeypatch.setattr(memfd, "new_segment", make_late)
    assert link.send(b"x")[0] == 1
    assert link.answer() == [1]


def test_a_peer_may_return_a_segment_before_the_send_has_returned(link: Link) -> None:
    """It is so quick, or it guesses the number; the descriptor stays until it was passed."""
    loan = link.lender.lend([memoryview(bytes(MIB))])
    link.lender.returned([loan.segment])
    again = link.lender.lend([memoryview(bytes(MIB))])
    assert (again.segment, again.fd) == (loan.segment, None)
    link.lender.returned([loan.segment])
    link.lender.drop_unused()
    assert is_open(loan.fd)
    link.lender.passed(again.segment)
    assert not is_open(loan.fd)


def plain_file(folder: Path) -> int:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.truncate(PAGE)
        return os.dup(file.fileno())


def reading_end(_: Path) -> int:
    reading, writing = os.pipe()
    os.close(writing)
    return reading


HOSTILE: dict[str, tuple[Callable[[Path], int], str]] = {
    "not sealed": (lambda _: make_memfd(seals=0), "shorter"),
    "may shrink": (lambda _: make_memfd(seals=GROW), "shorter"),
    "may grow": (lambda _: make_memfd(seals=SHRINK), "shorter"),
    "shorter": (lambda _: make_memfd(PAGE - 1), "bytes, not"),
    "longer": (lambda _: make_memfd(PAGE + 1), "bytes, not"),
    "empty": (lambda _: make_memfd(0), "bytes, not"),
    "of huge pages": (lambda _: make_memfd(2 * MIB, flags=os.MFD_HUGETLB), "huge pages"),
    "pipe": (reading_end, "no memory file"),
    "file": (plain_file, "memory file|shorter"),
    "shared memory": (lambda _: plain_file(Path("/dev/shm")), "shorter"),
    "directory": (lambda folder: os.open(folder, os.O_RDONLY), "no memory file"),
    "device": (lambda _: os.open("/dev/zero", os.O_RDONLY), "no memory file"),
    "socket": (lambda _: socket.socket(socket.AF_UNIX).detach(), "no memory file"),
}


@pytest.mark.parametrize(("make", "words"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_segment_is_refused_and_closed(
    link: Link, tmp_path: Path, make: Callable[[Path], int], words: str
) -> None:
    fd = make(tmp_path)
    with pytest.raises(WireError, match=words):
        link.borrower.accept(1, fd, PAGE)
    assert not is_open(fd)
    assert link.borrower.statistics().segments == 0


def test_a_size_that_cannot_be_is_refused(link: Link) -> None:
    for size, real in ((0, 0), (-1, PAGE), (10**30, PAGE), (64 * MIB + PAGE, 64 * MIB + PAGE)):
        fd = make_memfd(real)
        with pytest.raises(WireError):
            link.borrower.accept(1, fd, size)
        assert not is_open(fd)


def test_a_peer_lends_no_more_than_the_limits() -> None:
    borrower = Borrower(4 * PAGE)
    for number in range(2):
        borrower.accept(number, make_memfd(4 * PAGE), 4 * PAGE)
    with pytest.raises(WireError):
        borrower.accept(2, make_memfd(), PAGE)
    borrower = Borrower(MIB)
    for number in range(2 * MAX_SEGMENTS):
        borrower.accept(number, make_memfd(), PAGE)
    borrower.borrow(3, [(0, 1)])
    with pytest.raises(WireError):
        borrower.accept(99, make_memfd(), PAGE)
    with pytest.raises(WireError):
        borrower.accept(4, make_memfd(), PAGE)
    assert borrower.statistics().segments == 2 * MAX_SEGMENTS


def test_a_number_comes_once(link: Link) -> None:
    link.borrower.accept(1, make_memfd(), PAGE)
    with pytest.raises(WireError):
        link.borrower.accept(1, make_memfd(), PAGE)
    kept = link.borrower.borrow(1, [(0, 1)])
    with pytest.raises(WireError):
        link.borrower.accept(1, make_memfd(), PAGE)
    assert kept[0] == b"\0"


@pytest.mark.parametrize(
    "ranges",
    [
        [(0, PAGE + 1)],
        [(PAGE, 1)],
        [(PAGE + 64, 0)],
        [(-1, 2)],
        [(-64, 64)],
        [(0, -1)],
        [(64, -64)],
        [(0, 2), (1, 2)],
        [(1, 2), (0, 2)],
        [(0, 64), (0, 64)],
        [(0, 100), (10, 10)],
        [(0, 10**30)],
        [(10**30, 1)],
    ],
)
def test_ranges_that_cannot_be_are_refused(link: Link, ranges: list[tuple[int, int]]) -> None:
    link.borrower.accept(7, make_memfd(), PAGE)
    with pytest.raises(WireError):
        link.borrower.borrow(7, ranges)
    for number in (0, 8, -7):
        with pytest.raises(WireError):
            link.borrower.borrow(number, [(0, 1)])
    views = link.borrower.borrow(7, [(64, 10), (0, 64), (PAGE, 0), (PAGE - 1, 1)])
    assert [view.nbytes for view in views] == [10, 64, 0, 1]


def test_a_peer_drops_only_what_is_here(link: Link) -> None:
    link.borrower.accept(7, make_memfd(), PAGE)
    with pytest.raises(WireError):
        link.borrower.drop([8])
    link.borrower.drop([7])
    with pytest.raises(WireError):
        link.borrower.drop([7])
    with pytest.raises(WireError):
        link.borrower.borrow(7, [(0, 1)])


def test_a_segment_that_is_dropped_while_it_is_borrowed_stays_readable(link: Link) -> None:
    number, (view,) = link.send(b"x" * GRAIN)
    link.borrower.drop([number])
    link.lender.close()
    assert view == b"x" * GRAIN
    assert mapped_segments() == 1
    del view
    assert mapped_segments() == 0
    assert link.borrower.take_returned() == []


def test_a_clock_or_a_collection_may_call_from_inside(link: Link) -> None:
    """A garbage collection runs anything, wherever it finds itself: in a locked section too."""
    lender = Lender(MIB, clock=lambda: float(len(lender.take_dropped())))
    lender.withdraw(lender.lend([memoryview(b"x")]))
    lender.drop_unused()
    link.borrower.drop(number for number in link.borrower.take_returned())


# -- closing


def test_views_outlive_both_ends(link: Link) -> None:
    _, views = link.send(b"x" * GRAIN, b"y" * GRAIN)
    array = np.ndarray((8,), np.uint8, views[1])[2:]
    _, unused = link.send(b"z")
    del views, unused
    link.close()
    link.close()
    assert mapped_segments() == 1
    array[0] = 1
    assert array.tolist() == [1] + [ord("y")] * 5
    assert link.borrower.take_returned() == []
    del array
    assert mapped_segments() == 0
    assert link.borrower.statistics().segments == link.lender.statistics().segments == 0


def test_what_is_closed_lends_and_borrows_nothing(link: Link) -> None:
    number, views = link.send(b"x")
    link.close()
    assert link.lender.lend([memoryview(b"x")]) is None
    link.lender.returned([number])  # a message that was on its way
    link.lender.passed(number)
    link.lender.drop_unused()
    assert link.lender.take_dropped() == []
    fd = make_memfd()
    with pytest.raises(WireError):
        link.borrower.accept(9, fd, PAGE)
    assert not is_open(fd)
    with pytest.raises(WireError):
        link.borrower.borrow(number, [(0, 1)])
    assert views[0] == b"x"


def test_what_is_let_go_of_while_it_closes_is_not_returned(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    link.send(b"x")
    monkeypatch.setattr(memfd, "drop_private_pages", lambda *_: link.borrower.close())
    assert link.borrower.take_returned() == []
    assert link.borrower.statistics().segments == 0


def test_a_descriptor_that_is_being_passed_outlives_close(link: Link) -> None:
    """Else the number could be another file's by the time that the send takes it."""
    sent, failed = (link.lender.lend([memoryview(b"x")]) for _ in range(2))
    link.lender.close()
    assert is_open(sent.fd)
    assert is_open(failed.fd)
    link.lender.passed(sent.segment)
    link.lender.withdraw(failed)
    assert not is_open(sent.fd)
    assert not is_open(failed.fd)
    assert mapped_segments() == 0


def test_both_say_what_they_hold(link: Link) -> None:
    _, views = link.send(b"x")
    assert repr(link.lender) == "<Lender: 1 of 1 segments lent, 65536 bytes>"
    assert repr(link.borrower) == "<Borrower: 1 of 1 segments used, 65536 bytes>"
    views.clear()
    link.answer()
    assert repr(link.lender) == "<Lender: 0 of 1 segments lent, 65536 bytes>"


def test_other_systems_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not are_supported.__wrapped__()
    monkeypatch.undo()
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert not are_supported.__wrapped__()
    monkeypatch.undo()
    monkeypatch.delattr(os, "memfd_create")
    assert not are_supported.__wrapped__()
