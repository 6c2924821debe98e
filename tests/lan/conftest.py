"""Where hosts cannot be made, these tests are skipped, and say why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lan.hosts import Lan, why_impossible
from tests.lan.room import CLUSTER, Room
from tests.pairing import Pairing


@pytest.fixture(scope="session", autouse=True)
def _hosts_can_be_made() -> None:
    reason = why_impossible()
    if reason:
        pytest.skip(reason)


@pytest.fixture
def room() -> Iterator[Room]:
    """A host called "hall" for the script, and three for slaves, all paired.

    "hall" has the cluster's authority, "anna" may be a slave, "ben" and "cleo" are members.
    """
    with Lan("hall", "anna", "ben", "cleo", "stranger", "foreigner") as lan:
        cluster = Pairing(CLUSTER, lan["hall"].config)
        for name, role in (("anna", "slave"), ("ben", "member"), ("cleo", "member")):
            cluster.pair(lan[name].config, name, role)
        yield Room(lan)
