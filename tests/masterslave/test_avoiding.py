"""Somebody else answers at a farm's address: it is served elsewhere at once, and there later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from masterslave import Farm
from masterslave.naming import FarmRecord
from masterslave.slave import avoiding
from masterslave.slave.agent import Agent
from masterslave.slave.avoiding import Avoided
from remoteobj import URI, Daemon, Identity
from tests.certificates import Authority
from tests.conftest import eventually
from tests.nameserver.relay import Relay

FARM = FarmRecord(
    "film", "1234", URI("PYRO:door@10.0.0.5:9"), "hall", 1, "x.py", "00000000000000aa"
)


def test_a_place_is_tried_again_after_a_while_which_grows() -> None:
    avoided = Avoided()
    assert not avoided.has(FARM, 0.0)
    assert avoided.add(FARM, 0.0)
    now, pauses = 0.0, []
    for _ in range(9):
        until = next(at for at in range(1000) if not avoided.has(FARM, now + at))
        pauses.append(until)
        now += until
        assert not avoided.add(FARM, now), "it is not the first time"
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(FARM, uri=URI("PYRO:door@10.0.0.6:9")),
        replace(FARM, uri=URI("PYRO:door@10.0.0.5:10")),
        replace(FARM, node="00000000000000ab"),
        replace(FARM, farm="5678"),
    ],
)
def test_another_record_is_tried_at_once(elsewhere: FarmRecord) -> None:
    avoided = Avoided()
    avoided.add(FARM, 0.0)
    assert avoided.has(FARM, 1.0)
    assert not avoided.has(elsewhere, 1.0)


def test_as_many_places_are_kept_as_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avoiding, "_MOST_PLACES", 3)
    avoided = Avoided()
    farms = [replace(FARM, farm=str(number)) for number in range(5)]
    for farm in farms:
        avoided.add(farm, 0.0)
    assert [avoided.has(farm, 1.0) for farm in farms] == [False, False, True, True, True]


class Town:
    """A farm of hall's; another member's daemon; and a slave of anna's."""

    def __init__(self, directory: Path) -> None:
        authority = Authority(directory)
        self.hall, other, anna = (
            Identity.from_files(*authority.node(name, role=role))
            for name, role in (("hall", "member"), ("other", "member"), ("anna", "slave"))
        )
        self.other = Daemon("127.0.0.1", identity=other)
        self.other.start()
        self.said: list[str] = []
        self.agent = Agent(slots=1, identity=anna, report=self.said.append)
        self.agent.open()

    def record(self, uri: URI | str) -> FarmRecord:
        return replace(FARM, uri=URI(str(uri)), node=self.hall.claims.node)

    def close(self) -> None:
        self.agent.leave_now()
        self.agent.wait_until_left(10.0)
        self.agent.close()
        self.other.close()


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path / "town")
    yield made
    made.close()


def is_served(town: Town, farm: Farm, record: FarmRecord) -> bool:
    """Tell whether there is a slave, while the farm is listed."""
    town.agent.found(record, "a name server")
    return bool(farm.slaves)


def test_a_farm_that_is_listed_elsewhere_is_served_there_at_once(town: Town) -> None:
    wrong = town.record(town.other.uri_of("masterslave.door"))
    town.agent.found(wrong, "a name server")
    eventually(lambda: town.said, "it is not the farm's machine")
    assert "the address is another machine's now" in town.said[0]
    town.agent.found(wrong, "a name server")
    with Farm("film", local_slaves=0, host="127.0.0.1", identity=town.hall) as farm:
        record = town.record(farm.uri)
        eventually(lambda: is_served(town, farm, record), "it is served")
        assert farm.submit(abs, -3).result(20) == 3


def test_the_same_address_is_tried_again(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avoiding, "FIRST_S", 0.2)
    with (
        Farm("film", local_slaves=0, host="127.0.0.1", identity=town.hall) as farm,
        Relay(town.other.location) as relay,
    ):
        record = town.record(f"PYRO:{farm.uri.object}@{relay.address}")
        town.agent.found(record, "a name server")
        eventually(lambda: town.said, "it is not the farm's machine")
        relay.lead_to(farm.uri.location or "")
        eventually(lambda: is_served(town, farm, record), "it is served")
        assert farm.submit(abs, -3).result(20) == 3
        refused = [line for line in town.said if "another machine's now" in line]
        assert len(refused) == 1, "it is said once"


def test_a_farm_whose_address_becomes_anothers_is_not_given_up(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(avoiding, "FIRST_S", 0.2)
    with (
        Farm("film", local_slaves=0, host="127.0.0.1", identity=town.hall) as farm,
        Relay(farm.uri.location or "") as relay,
    ):
        record = town.record(f"PYRO:{farm.uri.object}@{relay.address}")
        eventually(lambda: is_served(town, farm, record), "it is served")
        relay.lead_to(town.other.location)
        relay.cut()
        eventually(lambda: not town.agent.guests(), "somebody else answers there")
        relay.lead_to(farm.uri.location or "")
        eventually(lambda: is_served(town, farm, record), "it is served again")
        assert farm.submit(abs, -3).result(20) == 3
