"""Shared memory between threads, forked children and processes."""

from __future__ import annotations

import contextlib
import os
import queue
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from segments_link import GRAIN, Link, is_open, mapped_segments, needs_segments

from remoteobj import WireError
from remoteobj.segments import Borrower, Lender, memfd

pytestmark = needs_segments


@pytest.fixture
def link() -> Iterator[Link]:
    with contextlib.closing(Link()) as made:
        yield made


# -- threads, forks and processes


def test_threads_share_both_ends(link: Link) -> None:
    """Lent in one thread, let go of in another, returned by a third."""
    arrived: queue.Queue[tuple[bytes, list[memoryview]] | None] = queue.Queue(5)
    failures: list[BaseException] = []
    wire = threading.Lock()

    def send(seed: int) -> None:
        chance = random.Random(seed)
        with catching(failures):
            for n in range(150):
                content = bytes([seed, n]) * chance.randrange(1, 100_000)
                loan = link.lender.lend([memoryview(content)])
                if loan is None:
                    continue
                with wire:
                    if loan.fd is not None:
                        link.borrower.accept(loan.segment, os.dup(loan.fd), loan.size)
                        link.lender.passed(loan.segment)
                    views = link.borrower.borrow(loan.segment, [(0, len(content))])
                arrived.put((content, views))

    def receive() -> None:
        with catching(failures):
            while (came := arrived.get()) is not None:
                content, views = came
                assert views[0] == content
                views[0][:] = bytes(len(content))
                del came, views
                link.answer()

    receivers = [threading.Thread(target=receive) for _ in range(3)]
    senders = [threading.Thread(target=send, args=(seed,)) for seed in range(3)]
    for thread in receivers + senders:
        thread.start()
    for thread in senders:
        thread.join()
    for _ in receivers:
        arrived.put(None)
    for thread in receivers:
        thread.join()
    assert not failures
    link.answer()
    assert link.lender.statistics().in_use == link.borrower.statistics().in_use == 0


@contextlib.contextmanager
def catching(failures: list[BaseException]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        failures.append(error)


def in_a_thread(call: Callable[[], object]) -> list[object]:
    """Return, in a list, what *call* returns; an empty one if it does not return in time."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    thread.join(5.0)
    return results


def in_child(body: Callable[[], object]) -> int:
    """Fork; return the exit code of a child that runs *body*, 0 if that returns something true."""
    pid = os.fork()
    if not pid:
        code = 9
        try:
            code = 0 if body() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_forked_child_keeps_what_was_borrowed(link: Link) -> None:
    """Though its parent lets go of it, and the segment gets another message."""
    array = np.zeros(3 * GRAIN, np.uint8)
    array[:] = 1
    number, (view,) = link.send(array)
    view[0] = 7
    go, went = os.pipe()
    pid = os.fork()
    if not pid:
        code = 9
        try:
            os.read(go, 1)
            came = np.frombuffer(view, np.uint8)
            code = 0 if came[0] == 7 and (came[1:] == 1).all() else 1
            came[:] = 3
        finally:
            os._exit(code)
    del view
    assert link.answer() == [number]
    array[:] = 2
    again, (view,) = link.send(array)
    assert again == number
    os.write(went, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (np.frombuffer(view, np.uint8) == 2).all()
    os.close(go)
    os.close(went)


def test_a_forked_child_neither_lends_nor_borrows(link: Link) -> None:
    number, views = link.send(b"x")
    free, held = link.send(b"y")
    held.clear()
    assert link.answer() == [free]
    loan = link.lender.lend([memoryview(b"z" * 5 * GRAIN)])

    def child() -> bool:
        assert link.lender.lend([memoryview(b"z")]) is None
        assert not is_open(loan.fd)
        assert in_a_thread(link.borrower.take_returned) == [[]]
        with pytest.raises(WireError):
            link.borrower.borrow(free, [(0, 1)])
        assert views == [b"x"]
        assert mapped_segments() == 1
        return True

    assert in_child(child) == 0
    assert in_a_thread(link.borrower.take_returned) == [[]]
    assert is_open(loan.fd)
    link.lender.passed(loan.segment)
    views.clear()
    assert link.answer() == [number]
    assert link.send(b"again")[0] == number
    assert in_child(lambda: in_child(lambda: True) == 0) == 0


def test_what_cannot_be_kept_for_a_child_never_comes_back(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError

    lost, views = link.send(b"x")
    monkeypatch.setattr(memfd, "make_private", refuse)
    assert in_child(lambda: views == [b"x"]) == 0
    monkeypatch.undo()
    number, (other,) = link.send(b"y")
    assert number != lost
    views.clear()
    del other
    assert link.answer() == [number]


ECHO = """
import socket, struct, sys
import numpy as np
from remoteobj.segments import Borrower, Lender

sock = socket.socket(fileno=int(sys.argv[1]))
lender, borrower = Lender(1 << 26), Borrower(1 << 26)
while True:
    data, fds, _, _ = socket.recv_fds(sock, 4096, 1)
    if not data:
        break
    segment, size, nbytes, *returned = struct.unpack(f"{len(data) // 8}Q", data)
    lender.returned(returned)
    if fds:
        borrower.accept(segment, fds[0], size)
    array = np.frombuffer(borrower.borrow(segment, [(0, nbytes)])[0])
    array *= 2
    loan = lender.lend([memoryview(array).cast("B")])
    del array
    words = [loan.segment, loan.size, nbytes, *borrower.take_returned()]
    packed = struct.pack(f"{len(words)}Q", *words)
    socket.send_fds(sock, [packed], [] if loan.fd is None else [loan.fd])
    lender.passed(loan.segment)
"""


def test_two_processes_send_each_other_what_they_write_into() -> None:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-c", ECHO, str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
    theirs.close()
    lender, borrower = Lender(1 << 26), Borrower(1 << 26)
    used, kept = set(), None
    try:
        for n in range(40):
            mine = np.full(40_000 - n, float(n))
            loan = lender.lend([memoryview(mine).cast("B")])
            packed = np.array(
                [loan.segment, loan.size, mine.nbytes, *borrower.take_returned()], np.uint64
            )
            socket.send_fds(ours, [packed], [] if loan.fd is None else [loan.fd])
            lender.passed(loan.segment)
            data, fds, _, _ = socket.recv_fds(ours, 4096, 1)
            segment, size, nbytes, *returned = np.frombuffer(data, np.uint64).tolist()
            lender.returned(returned)
            if fds:
                borrower.accept(segment, fds[0], size)
            answer = np.frombuffer(borrower.borrow(segment, [(0, nbytes)])[0])
            assert answer.size == mine.size
            assert (answer == 2 * n).all()
            assert (mine == n).all()
            answer[:] = -1
            used.add(segment)
            kept = answer if n == 10 else kept
        assert len(used) <= 3
        process.kill()
        process.wait()
        assert (kept == -1).all()
    finally:
        process.kill()
        process.wait()
        ours.close()
        lender.close()
        borrower.close()
