"""Farms for CPython's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from masterslave import Farm
from tests.conftest import eventually
from tests.masterslave.shared import own_machine

__all__ = ["own_machine"]


@pytest.fixture(scope="module")
def executor(own_machine: Path) -> Iterator[Farm]:
    """A farm that the tests of a module share."""
    with Farm("stdlib", local_slaves=2) as farm:
        yield farm


@pytest.fixture
def fresh(own_machine: Path) -> Iterator[Farm]:
    """A farm with two idle slots that know of no short tasks: none waits behind a long one."""
    with Farm("fresh", local_slaves=2) as farm:
        eventually(lambda: len(farm.slaves) == 2, "both slaves join")
        yield farm


@pytest.fixture
def idle(own_machine: Path) -> Iterator[Farm]:
    """A farm without slaves: its futures stay pending."""
    farm = Farm("idle", local_slaves=0)
    yield farm
    farm.shutdown(cancel_futures=True)
