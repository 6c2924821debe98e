"""Farms that share two slaves get equal parts of their time."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from masterslave import Farm
from tests.conftest import eventually
from tests.masterslave.conftest import StartSlave

pytestmark = pytest.mark.serial

WINDOW_S = 4.0  # of turns of 0.15 s: one more or less has to be far below the tenth


def test_two_farms_of_one_label_get_as_much_as_one_of_another(start_slave: StartSlave) -> None:
    def work(_: int) -> float:  # by value: where modules travel, a child stays with them a while
        """Return when it was done; all of this is on one machine."""
        time.sleep(0.005)
        return time.monotonic()

    for _ in range(2):
        start_slave("--slots", "1")
    with (
        Farm("a", local_slaves=0) as first,
        Farm("a", local_slaves=0) as second,
        Farm("b", local_slaves=0) as third,
        ThreadPoolExecutor(3) as threads,
    ):
        farms = (first, second, third)
        for farm in farms:
            eventually(lambda farm=farm: len(farm.slaves) == 2, "both slaves join")
        streams = [farm.imap_unordered(work, range(100_000), limit=2000) for farm in farms]
        begin = max(next(stream)[1] for stream in streams)

        def count(number: int) -> int:
            done: Counter[bool] = Counter()
            for _, at in streams[number]:
                done[begin < at] += at < begin + WINDOW_S
                if at > begin + WINDOW_S:
                    break
            return done[True]

        counts = list(threads.map(count, range(3)))
        for farm in farms:
            farm.shutdown(wait=False, cancel_futures=True)
    of_first, of_second, of_third = (one / sum(counts) for one in counts)
    assert of_third == pytest.approx(0.5, rel=0.1), counts
    # They take turns of 0.15 s or so: in so short a time, one more makes a difference.
    assert of_first == pytest.approx(of_second, rel=0.75), counts
