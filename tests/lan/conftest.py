"""Where hosts cannot be made, these tests are skipped, and say why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import make_cluster
from tests.lan.hosts import Lan, why_impossible
from tests.lan.room import Room


@pytest.fixture(scope="session", autouse=True)
def _hosts_can_be_made() -> None:
    reason = why_impossible()
    if reason:
        pytest.skip(reason)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """A host called "hall" for the script, and three for slaves, all of one cluster."""
    names = ("hall", "anna", "ben", "cleo")
    with Lan(*names) as lan:
        yield Room(lan, make_cluster(tmp_path / "cluster", names))
