"""A slice of the measurement of who sends shared objects: the script does so once."""

from __future__ import annotations

import pytest

from tests.benchmarks.spread import measure

pytestmark = pytest.mark.serial


def test_the_script_sends_it_once(own_machine: object) -> None:
    found = measure(9, 2, serve=True)
    assert 9 <= found["sent_mib"] < 9.1
    assert 9 <= found["given_mib"] < 9.1
