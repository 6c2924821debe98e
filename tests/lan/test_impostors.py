"""A slave's certificate, as operator, name server and master: behind spoofed mDNS, and at an
address that it has taken over; and a member that has the name server dial somebody else.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from nameserver.pairing.presence import AUTHORITY
from tests.conftest import eventually
from tests.lan.hosts import Host, Running
from tests.lan.room import CLUSTER, FOUND, Room, has_done

IMPOSTOR = str(Path(__file__).with_name("impostor.py"))
NO_MEMBER = "in the role 'slave', and 'member' is needed"
DOOR = "masterslave.master"


class Impostor:
    """Anna's machine, which was paired as a slave, and poses as others."""

    def __init__(self, host: Host, *words: str) -> None:
        self.running: Running = host.python("-W", "ignore", IMPOSTOR, *words)
        self.ports: list[int] = json.loads(self.running.wait_for('"ready"').text)["ready"]

    def told(self, what: str) -> list[Any]:
        """Return what it has told of something so far."""
        lines = [json.loads(line.text) for line in list(self.running.lines)]
        return [line[what] for line in lines if what in line]

    def has_heard_nothing(self) -> bool:
        """Tell whether somebody has shaken hands, and nobody has said a word."""
        return bool(self.told("shaken")) and not any(self.told("heard"))


def typed(host: Host, *words: str) -> Running:
    """Type a command, and wait for its end."""
    running = host.python("-W", "ignore", "-m", *words)
    running.wait(30.0)
    return running


ACTS = """
import sys
from remoteobj import Identity, NotAllowed, Proxy
with Proxy(sys.argv[1], identity=Identity.stored()) as authority:
    for name, args in (
        ("invite", ("operator", 1, 60.0)), ("open_code", ("operator",)), ("members", ()),
        ("revoke", ("ben",)), ("withdraw", ()), ("close_code", ("123-456",)),
    ):
        try:
            print("got", authority._channel.call(name, args, {}, 5.0))
        except NotAllowed as error:
            print("refused", name, error)
"""


def test_a_slave_is_no_operator(room: Room) -> None:
    room.start_nameserver()
    anna, hall = room.lan["anna"], room.hall
    at = ("--nameserver", f"{hall.address}:9090")
    for words in (("invite",), ("pair",), ("members",), ("revoke", "ben", "--yes")):
        done = typed(anna, "nameserver", *words, *at)
        assert done.process.returncode == 1
        assert "this account is a slave of 'room', and this is for operators" in done.output()
    said = anna.run([sys.executable, "-c", ACTS, f"PYRO:{AUTHORITY}@{hall.address}:9090"])
    assert said.count("refused ") == 6
    assert "got" not in said
    listed = hall.run([sys.executable, "-m", "nameserver", "members", "--json", *at])
    states = {each["name"]: each["state"] for each in json.loads(listed)}
    assert states == dict.fromkeys(("hall", "anna", "ben", "cleo"), "member")


def test_a_slave_is_no_name_server(room: Room) -> None:
    """It is announced as one, in the name of the cluster, before the true one is there."""
    hall, anna, cleo = (room.lan[name] for name in ("hall", "anna", "cleo"))
    impostor = Impostor(anna, "--announce", CLUSTER, anna.address, "9090")
    script = room.start_script(at_least=50)
    slave = room.start_slave("ben")
    slave.wait_for(NO_MEMBER)
    stranger = room.lan["stranger"]
    joining = stranger.python("-m", "nameserver", "join", "--code", "123-456")
    asking = [
        (host.python("-W", "ignore", "-m", *words), words)
        for host, words in (
            (cleo, ("nameserver", "list")),
            (cleo, ("nameserver", "register", "lab.x", f"PYRO:x@{cleo.address}:9")),
            (cleo, ("masterslave", "list")),
            (hall, ("nameserver", "invite")),
            (hall, ("nameserver", "pair")),
            (hall, ("nameserver", "revoke", "ben", "--yes")),
        )
    ]
    for done, words in asking:
        assert done.wait(30.0) or words[1] == "list", words
        assert NO_MEMBER in done.output(), words
    assert joining.wait(30.0) == 1, "it says no hello"
    eventually(lambda: len(impostor.told("came")) > 6, "many have come to it")
    heard = b"".join(map(bytes.fromhex, impostor.told("heard")))
    assert impostor.has_heard_nothing(), heard
    room.start_nameserver()
    script.wait_until(has_done("ben"), "work of the slave that has found the true one", 30.0)
    script.finish()
    assert impostor.has_heard_nothing()


def test_a_slave_is_no_master(room: Room) -> None:
    """In a name that it registers; and at the address of the name server and of a farm."""
    hall, anna, ben = (room.lan[name] for name in ("hall", "anna", "ben"))
    server = room.start_nameserver()
    here = Impostor(anna, anna.address, "0")
    farm = f"PYRO:{DOOR}@{anna.address}:{here.ports[0]}"

    at = ("--nameserver", f"{hall.address}:9090")
    done = typed(anna, "nameserver", "register", "masterslave.lan.feed", farm, *at)
    assert done.process.returncode == 1
    assert "is for peers of role 'member'" in done.output()
    assert not here.told("came"), "nobody was told of it"

    # It takes over the address of the hall, with its name server and its farm.
    script = room.start_script(at_least=100000)
    slave = room.start_slave("ben")
    slave.wait_for(FOUND)
    uri = json.loads(script.running.wait_for('"open"').text)["uri"]
    script.wait_until(has_done("ben"), "work")
    hall.cut()
    anna.ip("address", "add", f"{hall.address}/24", "dev", "eth0")
    port = uri.rpartition(":")[2]
    there = Impostor(anna, "--announce", CLUSTER, hall.address, "9090", port)
    ben.ip("neigh", "flush", "all")
    eventually(
        lambda: {9090, int(port)} <= set(there.told("shaken")), "the slave has come to both", 60.0
    )
    eventually(lambda: NO_MEMBER in slave.output() or "its role is" in slave.output(), "it says so")
    assert there.has_heard_nothing()
    assert slave.process.poll() is None
    assert server.process.poll() is None


def test_the_name_server_dials_nobody_elses_machine(room: Room) -> None:
    room.start_nameserver()
    hall, ben, cleo = room.hall, room.lan["ben"], room.lan["cleo"]
    target = Impostor(cleo, "--plain", cleo.address, "0")
    inside = Impostor(hall, "--plain", "127.0.0.1", "0")
    at = ("--nameserver", f"{hall.address}:9090")
    own, its = target.ports[0], inside.ports[0]
    for number, (host, port) in enumerate(
        ((cleo.address, own), (hall.address, 9090), ("127.0.0.1", its), ("localhost", its))
    ):
        uri = f"PYRO:x@{host}:{port}"
        done = typed(ben, "nameserver", "register", f"lab.x{number}", uri, *at)
        assert not target.told("came"), done.output()
        assert not inside.told("came"), done.output()
    done = typed(cleo, "nameserver", "register", "lab.own", f"PYRO:x@{cleo.address}:{own}", *at)
    assert set(target.told("came")) == {hall.address}, "so it would have been seen"
    assert not inside.told("came")
