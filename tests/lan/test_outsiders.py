"""Who is not of the cluster gets nothing, whatever it tries, and is told why."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.lan.hosts import Host
from tests.lan.room import FOUND, LOOKS, SCRIPT, Room, Script, has_done
from tests.pairing import Pairing

KNOCK = """
import sys, warnings
from remoteobj import ConnectionLost, Identity, Proxy
from remoteobj.identity.places import stored_clusters
warnings.simplefilter("ignore")
uri, method = sys.argv[1:]
security = {"identity": Identity.stored()} if stored_clusters() else {"insecure": True}
with Proxy(uri, **security) as stranger:
    try:
        print("got", getattr(stranger, method)())
    except ConnectionLost as error:
        print("lost", error.executed, error)
"""

OTHER_CA = "has a certificate of another CA: both machines must belong to the same cluster"


def uri_of_farm(script: Script) -> str:
    uri: str = json.loads(script.running.wait_for('"open"').text)["uri"]
    return uri


class Asking:
    """A command that fails; several of them run at once."""

    def __init__(self, host: Host, *command: str) -> None:
        self._process = host.python("-W", "ignore", "-m", *command)

    def said(self, code: int) -> str:
        """Wait for its end with this code, and return what it says is wrong, in one line.

        ``masterslave list`` has shown the slaves of its own machine before.
        """
        assert self._process.wait() == code, self._process.output()
        said = [line.text for line in self._process.lines]
        (line,) = (text for text in said if text.startswith(("masterslave: ", "nameserver: ")))
        return line


@pytest.fixture
def foreign(room: Room, tmp_path: Path) -> Host:
    """A host that is paired, with machines of another room."""
    host = room.lan["foreigner"]
    Pairing("other", tmp_path / "config").pair(host.config, host.name)
    return host


def test_outsiders_get_no_names_and_no_tasks(room: Room, foreign: Host) -> None:
    address = room.start_nameserver().lines[-1].text.split()[3].rstrip(",")
    script = room.start_script(at_least=100)
    farm = uri_of_farm(script)
    assert farm.endswith(f"@{room.hall.address}:{farm.rpartition(':')[2]}")
    anna, cleo, stranger = (room.lan[name] for name in ("anna", "cleo", "stranger"))

    # They start slaves, which find what is announced and go no further.
    unpaired, insecure, of_others = (
        room.start_slave("stranger"),
        room.start_slave("stranger", "--insecure"),
        room.start_slave("foreigner", "--cluster", "other"),
    )
    for slave in (unpaired, insecure):
        slave.wait_for(rf"a name server was seen at {address}, but it speaks TLS: ")
    of_others.wait_for("looks for farm 'lan'")

    # They ask for names, by zeroconf and at the address.
    at = ("--nameserver", address)
    asked = [
        (Asking(host, *command, *options), code, why)
        for command in (("nameserver", "list"), ("masterslave", "list"))
        for host, options, code, why in (
            (stranger, at, 2, f"{address} is on TCP"),  # it was called in a wrong way
            (stranger, (*at, "--insecure"), 1, "TLS is spoken here: give an identity="),
            (foreign, at, 1, f"{address} {OTHER_CA}"),
        )
    ]
    asked += [
        (Asking(stranger, "nameserver", "lookup", "masterslave.lan"), 1, "it speaks TLS: "),
        (Asking(foreign, "nameserver", "ping"), 1, "no name server of the cluster 'other' found"),
    ]
    for asking, code, why in asked:
        assert why in asking.said(code)

    # They know where the farm is.
    said = "code does not cross plain TCP; run 'nameserver invite'"
    stranger.python("-m", "masterslave", "slave", "--farm", farm).wait_for(said)
    for uri, method in ((farm, "status"), (f"PYRO:Pyro.NameServer@{address}", "list")):
        knock = [sys.executable, "-c", KNOCK, uri, method]
        assert stranger.run(knock).startswith("lost no ")
        told = foreign.run(knock)
        assert told.startswith("lost no ")
        assert OTHER_CA in told
        assert cleo.run(knock).startswith("got {'")

    facts = script.wait_until(lambda facts: True, "how things stand")
    assert facts["results"] == facts["statistics"]["slaves_joined"] == 0
    assert "no slave seen" in facts["waits"]
    room.start_slave("anna").wait_for(FOUND)
    facts = script.wait_until(has_done("anna"), "work done by the one that belongs to it")
    assert facts["slaves"][0]["address"].startswith(f"{anna.address}:")
    assert set(script.finish()["done_by"]) == {"anna"}
    for slave in (unpaired, insecure, of_others):
        assert slave.process.poll() is None
        assert not [line for line in slave.lines if "found farm" in line.text]


def test_who_is_not_paired_meets_nobody_on_the_network(room: Room) -> None:
    """Its own farms and slaves meet all the same, and at no port."""
    room.start_nameserver()
    stranger = room.lan["stranger"]
    room.start_slave("stranger").wait_for(LOOKS)
    script = Script(stranger.python(SCRIPT, "10"), 10)
    facts = script.wait_until(has_done("stranger"), "work done by its own slave")
    assert [slave["address"] for slave in facts["slaves"]] == ["this machine"]
    assert not stranger.listening()
    assert room.start_slave("anna").wait_for(LOOKS)
    script.finish()
    (anna,) = (each for each in room.lan.started if "on anna" in each.title)
    assert not [line for line in anna.lines if "found farm" in line.text]
