"""Large arguments that are lent: what a child reads is what was lent to it, or nothing."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading

import pytest

from masterslave.lent import MOST_LOANS, Lender, read_lent
from masterslave.protocol.outcomes import GIVEN_BACK
from tests.masterslave.slave.conftest import MakeMaster, Serve
from tests.masterslave.slave.fake_master import value_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="lent on Linux only")


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_what_is_lent_is_read_until_it_is_taken_back() -> None:
    lender = Lender()
    draw = random.Random(1)
    data = [draw.randbytes(size) for size in (0, 1, 100_000, 3_000_000)]
    references = [lender.lend(each) for each in data]
    assert [read_lent(reference or b"") for reference in references] == data
    for reference in references:
        assert reference is not None
        lender.take_back(reference)
        lender.take_back(reference)
    second = lender.lend(b"another one's")
    assert second is not None
    assert read_lent(second) == b"another one's"
    assert None in [read_lent(reference or b"") for reference in references]
    lender.close()
    assert read_lent(second) is None


def test_segments_are_used_again_and_are_not_without_end() -> None:
    before = count_descriptors()
    lender = Lender()
    for _ in range(1000):
        reference = lender.lend(b"x" * 100)
        assert reference is not None
        lender.take_back(reference)
    assert count_descriptors() == before + 1
    references = [lender.lend(b"y") for _ in range(MOST_LOANS)]
    assert all(references)
    assert lender.lend(b"one too many") is None
    lender.take_back(references[5] or b"")
    assert lender.lend(b"not too many") is not None
    lender.close()
    assert count_descriptors() == before
    assert lender.lend(b"z") is None


def test_a_late_reader_never_gets_what_was_lent_to_another() -> None:
    lender = Lender()
    first = lender.lend(bytes([1]) * 500_000)
    assert first is not None
    lender.take_back(first)
    stop = threading.Event()

    def overwrite() -> None:
        while not stop.is_set():
            other = lender.lend(bytes([2]) * 500_000)
            assert other is not None
            lender.take_back(other)

    writer = threading.Thread(target=overwrite)
    writer.start()
    try:
        for _ in range(300):
            assert read_lent(first) in (None, bytes([1]) * 500_000)
    finally:
        stop.set()
        writer.join()
        lender.close()


@pytest.mark.parametrize("reference", [b"", b"L", b"L" * 25, b"x" * 25])
def test_what_is_no_reference_is_nothing(reference: bytes) -> None:
    assert read_lent(reference) is None


def test_another_process_reads_it() -> None:
    lender = Lender()
    reference = lender.lend(b"across")
    program = f"from masterslave.lent import read_lent; print(read_lent({reference!r}))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert told.stdout == b"b'across'\n"
    lender.close()


def test_a_child_takes_arguments_that_are_lent(make_master: MakeMaster, serve: Serve) -> None:
    master = make_master(lends=True)
    serve(master)
    data = random.Random(2).randbytes(2_000_000)
    tasks = [master.submit(bytes.count, data, b"a") for _ in range(20)]
    assert {value_of(outcome) for outcome in master.wait_for(*tasks)} == {data.count(b"a")}
    assert not master._references, "all were taken back"


def test_a_loan_that_is_gone_is_given_back(make_master: MakeMaster, serve: Serve) -> None:
    master = make_master()
    serve(master)
    lender = Lender()
    reference = lender.lend(b"gone soon")
    assert reference is not None
    lender.close()
    (task,) = master.submit_many(len, [reference])
    assert master.wait_for(task)[0].kind == GIVEN_BACK
