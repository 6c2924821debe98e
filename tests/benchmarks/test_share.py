"""A slice of the measurement of shared arrays: it runs, and the memory is there once."""

from __future__ import annotations

import sys

import pytest

from tests.benchmarks.share import measure_apart

pytest.importorskip("numpy")
pytestmark = pytest.mark.serial


@pytest.mark.skipif(sys.platform != "linux", reason="PSS is Linux's")
@pytest.mark.parametrize("how", ["share", "empty"])
def test_a_shared_array_is_in_memory_once(own_machine: object, how: str) -> None:
    found = measure_apart(how, 64, 1000)
    assert 0.9 < found["times_beyond_before"] < 1.2
    assert 0.99 < found["times_in_memory_files"] < 1.01
    sent = measure_apart("argument", 64, 4) if how == "share" else {"tasks_per_s": 0.0}
    assert found["tasks_per_s"] > 20 * sent["tasks_per_s"]
