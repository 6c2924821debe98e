"""The connection is cut at every message of a run, and nothing is lost or done twice."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from masterslave.slave.workshop import Workshop
from remoteobj import URI, Identity
from tests.masterslave.cutting import CuttingRelay
from tests.masterslave.slave.acts import note
from tests.masterslave.slave.conftest import MakeMaster, Slave
from tests.masterslave.slave.fake_master import value_of

CUTS = 40


@pytest.mark.parametrize("delivers", [True, False], ids=["after it", "before it"])
def test_a_run_that_is_cut_at_every_message_loses_nothing(
    make_master: MakeMaster, identity: Identity, tmp_path: Path, delivers: bool
) -> None:
    master = make_master(where={"host": "127.0.0.1", "identity": identity})
    relay = CuttingRelay(master.uri.location, delivers=delivers, most=CUTS)
    host, _, port = relay.address.rpartition(":")
    uri = URI(f"PYRO:{master.uri.object}@{host}:{port}")
    workshop = Workshop(2)
    workshop.open()
    slave = Slave(workshop, uri, identity=identity)
    done = []
    try:
        number = 0
        while relay.cuts < CUTS - 1:
            calls = [
                pickle.dumps(((str(tmp_path), each), {})) for each in range(number, number + 5)
            ]
            tasks = master.submit_many(note, calls)
            done += [value_of(outcome) for outcome in master.wait_for(*tasks)]
            number += 5
        slave.link.leave_now()
        slave.wait()
    finally:
        workshop.close()
        relay.close()
    assert done == [*range(number)]
    notes = [path.read_text() for path in sorted(tmp_path.iterdir(), key=lambda p: int(p.name))]
    assert notes == ["x"] * number, "each was run once"
    assert len(master.settled) == number
    assert len(master.outcomes) == number, "each was told once"
