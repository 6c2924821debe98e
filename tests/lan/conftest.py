"""Where hosts cannot be made, these tests are skipped, and say why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lan.hosts import Lan, why_impossible
from tests.lan.room import Room


@pytest.fixture(scope="session", autouse=True)
def _hosts_can_be_made() -> None:
    reason = why_impossible()
    if reason:
        pytest.skip(reason)


@pytest.fixture
def room() -> Iterator[Room]:
    """A host called "hall" for the script, and three for slaves."""
    with Lan("hall", "anna", "ben", "cleo") as lan:
        yield Room(lan)
