"""Masters of one farm at once: slaves believe the later one, and the earlier one is told of it."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from masterslave import Farm
from masterslave.naming import FarmRecord, metadata_of, read_record
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.joining import VERSION, Introduction, Welcome
from masterslave.slave.epochs import Epochs
from nameserver.record import make_record
from remoteobj import URI, Proxy
from tests.conftest import eventually
from tests.masterslave.conftest import StartSlave
from tests.masterslave.keeping.masters import StartMaster
from tests.masterslave.keeping.test_links import (
    MakeMaster,
    Serve,
    hang,
    make_master,
    serve,
    wait_for,
)
from tests.masterslave.slave.fake_master import value_of
from tests.masterslave.test_command_line import line_with

__all__ = ["make_master", "serve"]  # fixtures

FARM = "0f" * 8


def test_of_each_farm_the_highest_counts() -> None:
    epochs = Epochs()
    assert epochs.note(Welcome()) == ""
    assert epochs.note(Welcome(farm_id="one", epoch=3)) == ""
    assert epochs.note(Welcome(farm_id="one", epoch=3)) == ""
    assert epochs.note(Welcome(farm_id="other", epoch=1)) == ""
    assert epochs.note(Welcome(farm_id="one", epoch=2)) == (
        "was succeeded: it has epoch 2, and a master of the same farm with epoch 3 was here"
    )
    assert (epochs.of("one"), epochs.of("other"), epochs.of("none")) == (3, 1, 0)
    for number in range(10_000):
        epochs.note(Welcome(farm_id=str(number), epoch=1))
    assert epochs.of("one") == 0, "a slave remembers a limited number of farms"


def test_a_slave_with_something_does_not_go_back(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    gate, second = tmp_path / "gate", make_master(epoch=2)
    slave = serve(second)
    task = hang(second, gate)
    second.die()
    eventually(slave.keeps, "it keeps what it has")
    first = make_master(epoch=1)
    slave.offer(first)
    assert slave.useless == [first]
    assert first.introductions[0].epoch == 2, "it says what it has seen"
    assert any("was succeeded: it has epoch 1" in line for line in slave.said)
    third = make_master(epoch=3)
    slave.offer(third)
    gate.touch()
    (outcome,) = wait_for(third, task)
    assert value_of(outcome) is not None


def test_a_later_master_is_wanted_also_while_the_earlier_one_answers(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    gate, first = tmp_path / "gate", make_master(epoch=1)
    slave = serve(first)
    task = hang(first, gate)
    wants = slave.link.wants_master
    assert not wants(is_same=False, epoch=1)
    assert not wants(is_same=True, epoch=2)
    assert wants(is_same=False, epoch=2)
    second = make_master(epoch=2)
    slave.offer(second, epoch=2)
    gate.touch()
    wait_for(second, task)
    assert any("does not answer or was succeeded" in line for line in slave.said)
    assert not wants(is_same=False, epoch=1)


def test_records_say_the_epoch() -> None:
    uri = URI("PYRO:door@127.0.0.1:4711")
    record = FarmRecord("lab", "f0f0", uri, "hall", 7, "s.py", farm_id=FARM, epoch=12)
    assert "epoch=12" in metadata_of(record)
    said = read_record(make_record("masterslave.lab.f0f0", uri, metadata_of(record)))
    assert said == record
    for wrong in ("", "x", "-1", "²", "9" * 40):
        tags = {f"epoch={wrong}", f"farm-id={FARM}"}
        strange = read_record(make_record("masterslave.lab.f0f0", uri, tags))
        assert strange is not None
        assert strange.epoch == 0


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    """A farm that is kept, and was never taken over: its epoch is 0."""
    with Farm(journal=tmp_path / "journal.db", local_slaves=0, nameserver=False) as farm:
        yield farm


def test_a_slave_that_has_seen_a_later_master_is_refused_by_the_earlier_one(farm: Farm) -> None:
    me = Introduction(VERSION, "hand", "here", 1, 1, sys.version_info[:2])
    with Proxy(farm.uri) as door:
        welcome = decode(door.join(encode(me)), Welcome)
        assert (welcome.refused, welcome.epoch) == ("", 0)
        for epoch, is_let_in in ((0, True), (5, False)):
            again = Introduction(
                VERSION, "hand", "here", 1, 1, sys.version_info[:2],
                farm_id=welcome.farm_id, epoch=epoch,
            )  # fmt: skip
            told = decode(door.join(encode(again)), Welcome)
            assert (not told.refused) == is_let_in
        assert "has served a later master of this farm, with epoch 5" in told.refused
        other = Introduction(
            VERSION, "hand", "here", 1, 1, sys.version_info[:2], farm_id="another", epoch=5
        )
        assert not decode(door.join(encode(other)), Welcome).refused


def test_a_slave_goes_to_the_later_of_two_masters_and_stays(
    start_master: StartMaster, start_slave: StartSlave
) -> None:
    first = start_master(1, epoch=1)
    slave = start_slave("--slots", "1", "--name", "box")
    line_with(slave, "found farm")
    assert first.ask("farm.submit(abs, -1).result(timeout=20)") == 1
    first.process.send_signal(signal.SIGSTOP)
    second = start_master(2, epoch=2)
    since = time.monotonic()
    assert second.ask("farm.submit(abs, -2).result(timeout=20)") == 2
    spent_s = time.monotonic() - since
    print(
        f"\n  an idle slave of a master that was stopped works for the next after {spent_s:.1f} s"
    )
    line_with(slave, "does not answer or was succeeded, and another one was found")
    first.process.send_signal(signal.SIGCONT)
    first.do("future = farm.submit(abs, -1)")
    second.kill()
    third = start_master(3, epoch=3)
    assert third.ask("farm.submit(abs, -3).result(timeout=20)") == 3
    assert not first.ask("future.done()"), "the slave has not gone back to it"
