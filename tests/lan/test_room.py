"""A room of computers: found by zeroconf alone, joined and cut while it works, nothing lost.

The first slaves are started before the name server, and the name server before the farm, so each
of them has to be noticed by who was there before it.
"""

from __future__ import annotations

import signal
import sys

from tests.lan.hosts import Host
from tests.lan.room import FOUND, LOOKS, Facts, Room, has_done, hosts_of

DISCOVERY_S = 2.0

LOCATE = """
import sys, time
from nameserver import locate
from remoteobj import Identity
identity = Identity.stored()
started = time.monotonic()
with locate(identity=identity, timeout_s=10) as server:
    print(time.monotonic() - started, server.how, server.address)
"""

HOMEBODY = """
import threading
from masterslave import Farm
with Farm("lan", local_slaves=0, nameserver=False) as farm:
    print(farm.uri, flush=True)
    threading.Event().wait()
"""


def assert_address_is_of(host: Host, facts: Facts) -> None:
    """Check that a slave's traffic came from its host over TCP: Unix sockets have no such peer."""
    (slave,) = (slave for slave in facts["slaves"] if slave["host"] == host.name)
    address, _, port = slave["address"].rpartition(":")
    assert address == host.address
    assert port.isdigit()


def test_a_room_works_while_hosts_join_and_cables_are_cut(room: Room) -> None:
    anna, ben = (room.start_slave(name) for name in ("anna", "ben"))
    for slave in (anna, ben):
        slave.wait_for(LOOKS)
    server = room.start_nameserver()
    announced = server.lines[-1].at
    for slave in (anna, ben):
        seen = slave.wait_for(rf"name server at {room.hall.address}:\d+ \(zeroconf\)")
        assert seen.at - announced < DISCOVERY_S

    script = room.start_script()
    opened = script.running.wait_for('"open"').at
    for slave in (anna, ben):
        assert slave.wait_for(FOUND).at - opened < DISCOVERY_S
    facts = script.wait_until(lambda facts: facts["results"] > 50, "50 results")
    for name in ("anna", "ben"):
        assert_address_is_of(room.lan[name], facts)

    cleo = room.start_slave("cleo")
    ready = cleo.wait_for(LOOKS).at
    assert cleo.wait_for(FOUND).at - ready < DISCOVERY_S
    facts = script.wait_until(has_done("cleo"), "work done by the host that joined")
    assert_address_is_of(room.lan["cleo"], facts)

    room.lan["ben"].cut()
    again = facts["statistics"]["handed_out_again"]
    facts = script.wait_until(
        lambda facts: hosts_of(facts) == {"anna", "cleo"}, "the loss of the cut host"
    )
    assert facts["statistics"]["handed_out_again"] > again
    (lost,) = facts["former_slaves"]
    assert (lost["host"], lost["state"]) == ("ben", "lost")

    summary = script.finish()
    assert set(summary["done_by"]) == {"anna", "ben", "cleo"}
    assert summary["statistics"]["slaves_joined"] == 3
    assert summary["statistics"]["slaves_lost"] == 1
    for slave in (anna, cleo):
        slave.wait_for(r"farm 'lan' has ended; \d+ tasks done for it here")
        slave.signal(signal.SIGINT)
        assert slave.wait() == 130


def test_a_mended_cable_brings_its_host_back_to_work(room: Room) -> None:
    room.start_nameserver()
    script = room.start_script(at_least=100)
    anna, ben = (room.start_slave(name) for name in ("anna", "ben"))
    script.wait_until(has_done("ben"), "work done by ben")

    room.lan["ben"].cut()
    facts = script.wait_until(lambda facts: hosts_of(facts) == {"anna"}, "the loss of ben")
    before = facts["done_by"]["ben"]
    room.lan["ben"].mend()
    facts = script.wait_until(lambda facts: hosts_of(facts) == {"anna", "ben"}, "ben's return")
    assert facts["statistics"]["slaves_joined"] == 3
    script.wait_until(has_done("ben", before), "more work done by ben")

    script.finish()
    for slave in (anna, ben):
        slave.wait_for(r"farm 'lan' has ended")


def test_a_farm_that_is_to_stay_at_home_does(room: Room) -> None:
    room.hall.python("-c", HOMEBODY).wait_for(r"^PYRO:.*@\./u:")
    assert not room.hall.listening(), "on the network, nobody listens"


def test_a_name_server_is_located_quickly(room: Room) -> None:
    server = room.start_nameserver()
    for name in ("anna", "ben"):
        locate = [sys.executable, "-c", LOCATE]
        seconds, how, address = room.lan[name].run(locate).split()
        assert float(seconds) < DISCOVERY_S
        assert how == "zeroconf"
        assert f"name server at {address}," in server.lines[-1].text
