"""Buffers through shared memory arrive, and stay what they are for as long as they are held."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import random
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segments_link import GRAIN, MIB, PAGE, Link, mapped_segments, needs_segments

from remoteobj import WireError
from remoteobj.codec import decode, encode
from remoteobj.segments import MAX_SEGMENTS, memfd

pytestmark = needs_segments


@pytest.fixture
def link() -> Iterator[Link]:
    with contextlib.closing(Link()) as made:
        yield made


# -- what is sent arrives


def test_buffers_arrive_and_are_aligned(link: Link) -> None:
    sent = [b"a", b"", bytes(range(256)) * 300, b"z" * 63]
    _, views = link.send(*sent)
    assert [bytes(view) for view in views] == sent
    assert all((view.format, view.ndim, view.readonly) == ("B", 1, False) for view in views)
    addresses = [ctypes.addressof(ctypes.c_char.from_buffer(view)) for view in views if view.nbytes]
    assert all(address % 64 == 0 for address in addresses)


def test_a_large_buffer_arrives_in_pieces_and_by_numpy(link: Link) -> None:
    """Above the size at which numpy copies, or, where it is not imported, chunks are."""
    sent = np.random.default_rng(1).random(9 * MIB // 8 + 1)
    for _ in range(2):  # into a new segment, and into the same
        number, (view,) = link.send(sent)
        assert (np.frombuffer(view) == sent).all()
        del view
        assert link.answer() == [number]
    code = (
        "import os, sys; from remoteobj.segments import Lender; assert 'numpy' not in sys.modules\n"
        "data = os.urandom(1 << 20) * 9 + b'end'; lender = Lender(1 << 25)\n"
        "for _ in range(2):\n"
        "    loan = lender.lend([memoryview(data)])\n"
        "    if loan.fd is not None: fd = os.dup(loan.fd); lender.passed(loan.segment)\n"
        "    assert os.pread(fd, len(data), 0) == data\n"
        "    os.pwrite(fd, bytes(len(data)), 0); lender.returned([loan.segment])\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(
        st.lists(st.integers(0, 300) | st.integers(0, 3 * PAGE) | st.just(GRAIN), max_size=4),
        max_size=25,
    ),
    seed=st.integers(),
)
def test_random_messages_are_what_was_sent_for_as_long_as_they_are_held(
    sizes: list[list[int]], seed: int
) -> None:
    """Whatever is held, written and let go of meanwhile, here and by the sender."""
    link, chance = Link(2 * MIB, max_free_bytes=MIB // 2), random.Random(seed)
    held: list[tuple[memoryview, bytearray]] = []
    for lengths in sizes:
        if not sum(lengths):
            continue
        sent = [chance.randbytes(length) for length in lengths]
        mine = [bytearray(each) for each in sent]
        _, views = link.send(*mine)
        assert [bytes(view) for view in views] == sent
        for each in mine:
            each[:] = bytes(len(each))  # the sender may do as it likes with its own
        for view, content in zip(views, map(bytearray, sent), strict=True):
            for place in chance.sample(range(len(content)), min(len(content), chance.randrange(3))):
                view[place] = content[place] = chance.randrange(256)
            held.append((view, content))
        del view, views
        chance.shuffle(held)
        del held[chance.randrange(7) :]
        link.answer()
        assert all(view == content for view, content in held)
    held.clear()
    link.answer()
    assert link.lender.statistics().in_use == link.borrower.statistics().in_use == 0
    link.close()
    assert mapped_segments() == 0


def test_the_codec_makes_values_of_them(link: Link) -> None:
    array = np.arange(10_000.0).reshape(100, 100)
    buffers: list[memoryview] = []
    data = encode({"array": array, "bytes": b"x" * 5000, "view": memoryview(b"y" * 5000)}, buffers)
    number, views = link.send(*buffers)
    value = decode(data, views)
    del views
    assert (value["array"] == array).all()
    assert value["bytes"] == b"x" * 5000
    assert value["view"] == b"y" * 5000
    assert link.answer() == []
    value["array"] += 1  # it is the receiver's own
    del value["array"]
    assert link.answer() == []
    value.clear()
    assert link.answer() == [number]


# -- reuse


def test_a_segment_that_came_back_is_lent_again(link: Link) -> None:
    numbers = []
    for content in (b"a" * MIB, b"b" * (MIB - 5), b"c" * MIB):
        number, (view,) = link.send(content)
        assert view == content
        del view
        assert link.answer() == [number]
        assert link.answer() == []
        numbers.append(number)
    assert len(set(numbers)) == 1
    assert mapped_segments() == 2  # the lender's, and the borrower's


def test_the_smallest_free_segment_is_taken_and_none_that_is_far_too_large(link: Link) -> None:
    held = [link.send(bytes(size)) for size in (4 * MIB, 2 * MIB, 3 * MIB)]
    large, small, middle = (number for number, _ in held)
    held.clear()
    link.answer()
    taken = [link.lender.lend([memoryview(bytes(2 * MIB))]).segment for _ in range(2)]
    assert taken == [small, middle]
    assert link.send(bytes(MIB - 64))[0] not in {large, small, middle}
    assert link.send(bytes(MIB))[0] == large


def test_of_equal_segments_the_one_last_used_is_taken(link: Link) -> None:
    first, second = (link.send(bytes(GRAIN)) for _ in range(2))
    numbers = first[0], second[0]
    del second
    link.answer()
    del first
    link.answer()
    assert link.send(bytes(GRAIN))[0] == numbers[0]


# -- how long a segment is borrowed


class Keeper:
    """Keeps what it has from being collected, by a method that the collection itself runs."""

    saved: ClassVar[list[Any]] = []

    def __init__(self, kept: Any) -> None:
        self.kept, self.myself = kept, self

    def __del__(self) -> None:
        self.saved.append(self.kept)


HOLDERS: dict[str, Callable[[memoryview], Any]] = {
    "itself": lambda view: view,
    "slice of a slice": lambda view: view[8:4096][8:16],
    "empty slice": lambda view: view[5:5],
    "cast": lambda view: view.cast("d"),
    "cast of a slice": lambda view: view[64:128].cast("B", (8, 8)),
    "read-only": memoryview.toreadonly,
    "frombuffer": lambda view: np.frombuffer(view, np.float64),
    "slice of a slice of an array": lambda view: np.frombuffer(view, np.float64)[4:][::2],
    "array with a shape": lambda view: np.ndarray((4, 4), np.float64, view),
    "transposed": lambda view: np.ndarray((4, 4), np.float64, view.cast("B")).T[1:],
    "view of an array": lambda view: memoryview(np.ndarray((4, 4), np.float64, view))[1:],
    "one record": lambda view: np.frombuffer(view, [("a", "f8")])[3],
    "ctypes": lambda view: (ctypes.c_char * 8).from_buffer(view, 16),
    "an iterator": iter,
    "a generator": lambda view: (each for each in view),
}


@pytest.mark.parametrize("make", HOLDERS.values(), ids=HOLDERS)
def test_it_is_borrowed_while_anything_made_of_it_lives(
    link: Link, make: Callable[[memoryview], Any]
) -> None:
    number, views = link.send(b"other", bytes(1 << 16))
    holder = make(views[1])
    del views
    gc.collect()
    assert link.answer() == []
    with pytest.raises(WireError):
        link.borrower.borrow(number, [(0, 5)])
    del holder
    assert link.answer() == [number]
    assert link.answer() == []


def test_each_of_its_buffers_keeps_it(link: Link) -> None:
    number, views = link.send(b"a", b"b", b"c")
    while views:
        assert link.answer() == []
        views.pop()
    assert link.answer() == [number]


def test_a_finalizer_in_a_cycle_may_keep_the_bytes(link: Link) -> None:
    """A weak reference to an exporter is called before it runs, and would have let go of them."""
    number, (view,) = link.send(b"before" + bytes(GRAIN))
    told: list[list[int]] = []
    keeper = Keeper([view])
    watch = weakref.ref(keeper, lambda _: told.append(link.answer()))
    del keeper, view
    gc.collect()
    assert watch() is None
    assert told == [[]]
    assert link.answer() == []
    link.send(b"after!" + bytes(GRAIN))
    assert bytes(Keeper.saved[0][0][:6]) == b"before"
    Keeper.saved.clear()
    assert number in link.answer()


def test_an_exception_that_shows_the_view_keeps_it(link: Link) -> None:
    def fail(view: memoryview) -> None:
        raise ValueError

    number, views = link.send(bytes(10))
    try:
        fail(views.pop())
    except ValueError as error:
        kept = error
    assert link.answer() == []
    del kept
    assert link.answer() == [number]


def test_many_messages_are_borrowed_at_once_and_come_back_in_any_order(link: Link) -> None:
    held = dict(link.send(bytes([n]) * 100) for n in range(MAX_SEGMENTS))
    order = list(held)
    random.Random(3).shuffle(order)
    for number in order:
        assert link.answer() == []
        assert len(set(bytes(held[number][0]))) == 1
        del held[number]
        assert link.answer() == [number]


# -- writing into what came


def write_by_numpy(view: memoryview, start: int, stop: int) -> None:
    np.frombuffer(view, np.uint8)[start:stop] = 0xEE


def write_by_assignment(view: memoryview, start: int, stop: int) -> None:
    view[start:stop] = b"\xee" * (stop - start)


def write_by_the_kernel(view: memoryview, start: int, stop: int) -> None:
    with open("/dev/urandom", "rb", buffering=0) as file:
        assert file.readinto(view[start:stop]) == stop - start


WRITERS = [write_by_numpy, write_by_assignment, write_by_the_kernel]
WHERE = {
    "first byte": (0, 1),
    "last byte": (5 * PAGE + 99, 5 * PAGE + 100),
    "last of a page": (2 * PAGE - 1, 2 * PAGE),
    "across pages": (2 * PAGE - 1, 2 * PAGE + 1),
    "everything": (0, 5 * PAGE + 100),
}


@pytest.mark.parametrize("is_read_first", [True, False])
@pytest.mark.parametrize(("start", "stop"), WHERE.values(), ids=WHERE)
@pytest.mark.parametrize("write", WRITERS)
def test_what_is_written_here_hides_nothing_of_the_next_message(
    link: Link,
    write: Callable[[memoryview, int, int], None],
    start: int,
    stop: int,
    is_read_first: bool,
) -> None:
    mine = np.full(5 * PAGE + 100, 1, np.uint8)
    number, (view,) = link.send(mine)
    if is_read_first:
        assert view == mine
    write(view, start, stop)
    assert (mine == 1).all()
    del view
    assert link.answer() == [number]
    mine[:] = 2
    again, (view,) = link.send(mine)
    assert again == number
    assert (np.frombuffer(view, np.uint8) == 2).all()


def test_what_is_written_behind_much_hides_nothing_either(link: Link) -> None:
    mine = np.full(40 * MIB, 1, np.uint8)
    for content in (1, 2, 3):
        mine[:] = content
        number, (view,) = link.send(mine)
        assert number == 1
        assert (np.frombuffer(view, np.uint8) == content).all()
        view[-1] = view[0] = 9
        del view
        link.answer()


def test_what_is_written_here_stays_here(link: Link) -> None:
    loan = link.lender.lend([memoryview(b"x" * GRAIN)])
    with open(os.dup(loan.fd), "rb") as file:
        link.borrower.accept(loan.segment, os.dup(loan.fd), loan.size)
        link.lender.passed(loan.segment)
        (view,) = link.borrower.borrow(loan.segment, [(0, GRAIN)])
        view[:] = b"y" * GRAIN
        assert file.read(GRAIN) == b"x" * GRAIN


@pytest.mark.parametrize("answer", [OSError, b"", bytes(8), bytes(3 * 8)])
def test_where_the_kernel_does_not_say_what_was_written_all_is_dropped(
    link: Link, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    """It may be hidden, cut short, or (by qemu's user mode) be that of another address."""
    memfd._are_flags_true.cache_clear()
    number, (view,) = link.send(b"a" * 3 * PAGE)
    view[PAGE] = 0

    def pread(fd: int, length: int, offset: int) -> bytes:
        if answer is OSError:
            raise PermissionError
        return answer

    monkeypatch.setattr(memfd.os, "pread", pread)
    del view
    assert link.answer() == [number]
    monkeypatch.undo()
    memfd._are_flags_true.cache_clear()
    _, (view,) = link.send(b"b" * 3 * PAGE)
    assert view == b"b" * 3 * PAGE


def test_where_less_is_said_than_was_asked_all_is_dropped(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, (view,) = link.send(b"a" * 3 * PAGE)
    view[2 * PAGE] = 0
    monkeypatch.setattr(memfd, "_are_flags_true", lambda: True)
    monkeypatch.setattr(memfd, "_page_flags", lambda *_: b"")
    del view
    assert link.answer() == [number]
    _, (view,) = link.send(b"b" * 3 * PAGE)
    assert view == b"b" * 3 * PAGE


def test_pages_that_were_only_read_stay_mapped(link: Link) -> None:
    """Else each message would pay for its page faults again."""
    if not os.path.exists("/proc/self/pagemap"):
        pytest.skip("this kernel does not say which pages were written")
    number, (view,) = link.send(bytes(MIB))
    bytes(view)
    address = ctypes.addressof(ctypes.c_char.from_buffer(view))
    assert memfd._written_range(address, MIB) == (0, 0)
    view[3 * PAGE] = view[5 * PAGE] = 1
    assert memfd._written_range(address, MIB) == (3 * PAGE, 6 * PAGE)
    del view
    assert link.answer() == [number]
    assert memfd._written_range(address, MIB) == (0, 0)
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        pagemap.seek(address // PAGE * 8)
        entries = np.frombuffer(pagemap.read(MIB // PAGE * 8), np.uint64)
    assert (entries >> np.uint64(63)).sum() >= MIB // PAGE - 3


def test_a_segment_that_cannot_be_cleaned_never_comes_back(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (view,) = link.send(bytes(PAGE))
    view[0] = 1
    del view

    def refuse(*_: Any) -> None:
        raise OSError

    monkeypatch.setattr(memfd, "drop_private_pages", refuse)
    assert link.answer() == []
    monkeypatch.undo()
    assert link.answer() == []
