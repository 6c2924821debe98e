"""A farm that the tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from masterslave import Farm
from tests.conftest import eventually
from tests.masterslave.shared import own_machine

__all__ = ["own_machine"]


@pytest.fixture(scope="module")
def farm(own_machine: Path) -> Iterator[Farm]:
    """A farm with two local slaves of one slot each."""
    with Farm("grid", local_slaves=2) as running:
        yield running


@pytest.fixture
def fresh(own_machine: Path) -> Iterator[Farm]:
    """A farm whose slaves know of no short tasks, so that none waits in line behind a long one."""
    with Farm("fresh", local_slaves=2) as running:
        eventually(lambda: len(running.slaves) == 2, "both slaves join")
        yield running
