"""Cables that are out for longer than anybody waits: what was found is found again."""

from __future__ import annotations

import pytest

from tests.lan.room import FOUND, Room, has_done

WATCH = """
import queue, sys, time
from nameserver import watch_for_servers
from remoteobj import ConnectionLost, DeadlinePassed, Identity

found = queue.SimpleQueue()
with watch_for_servers(found.put, identity=Identity.stored()) as watch:
    while True:
        with found.get() as client:
            print("found", client.how, flush=True)
            try:
                while True:
                    client.ping(timeout_s=0.3)
                    time.sleep(0.05)
            except (ConnectionLost, DeadlinePassed):
                print("lost", flush=True)
        watch.lost(client)
"""

IMPATIENT_SLAVE = """
import sys, threading
from masterslave.slave.agent import Agent
from masterslave.slave.watch import FarmWatch
from remoteobj import Identity

def say(line):
    print(line, flush=True)

identity = Identity.stored()
agent = Agent(slots=1, patience_s=0.5, identity=identity, report=say)
agent.open()
FarmWatch(
    ["lan"], agent.found, nameserver=True, identity=identity, insecure=False, report=say
).start()
threading.Event().wait()
"""


@pytest.mark.parametrize("how", ["zeroconf", "REMOTEOBJ_NAMESERVER"])
def test_a_watch_finds_a_name_server_again(room: Room, how: str) -> None:
    address = room.start_nameserver().lines[-1].text.split()[3].rstrip(",")
    anna = room.lan["anna"]
    environment = {} if how == "zeroconf" else {how: address}
    watch = anna.python("-c", WATCH, **environment)
    watch.wait_for(f"found {how}")
    anna.cut()
    watch.wait_for("lost")
    anna.mend()
    watch.wait_for(f"found {how}", since=2)


def test_a_slave_that_gave_a_farm_up_serves_it_again(room: Room) -> None:
    room.start_nameserver()
    script = room.start_script(at_least=100)
    anna = room.lan["anna"]
    slave = anna.python("-c", IMPATIENT_SLAVE)
    script.wait_until(has_done("anna"), "work done by anna")
    anna.cut()
    slave.wait_for(r"name server at \S+ is gone")
    slave.wait_for(r"farm 'lan' did not answer for 0\.5 s")
    since = len(slave.lines)
    anna.mend()
    slave.wait_for(FOUND, since=since)
    assert set(script.finish()["done_by"]) == {"anna"}
