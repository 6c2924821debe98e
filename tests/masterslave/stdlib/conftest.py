"""Farms for CPython's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from masterslave import Farm
from tests.masterslave.shared import farm as executor
from tests.masterslave.shared import fresh, own_machine

__all__ = ["executor", "fresh", "own_machine"]


@pytest.fixture
def idle(own_machine: Path) -> Iterator[Farm]:
    """A farm without slaves: its futures stay pending."""
    farm = Farm("idle", local_slaves=0)
    yield farm
    farm.shutdown(cancel_futures=True)
