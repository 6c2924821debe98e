"""Who is not of the cluster gets nothing, whatever it tries, and is told why."""

from __future__ import annotations

import json
import sys

from tests.certificates import Files
from tests.lan.hosts import Host
from tests.lan.room import FOUND, Room, Script, has_done

KNOCK = """
import sys, warnings
from remoteobj import ConnectionLost, Identity, Proxy
warnings.simplefilter("ignore")
uri, method, *files = sys.argv[1:]
security = {"identity": Identity.from_files(*files)} if files else {"insecure": True}
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


def test_outsiders_get_no_names_and_no_tasks(room: Room, foreign: Files) -> None:
    foreign_files = [str(path) for path in foreign]
    address = room.start_nameserver().lines[-1].text.split()[3].rstrip(",")
    script = room.start_script(at_least=100)
    farm = uri_of_farm(script)
    assert farm.endswith(f"@{room.hall.address}:{farm.rpartition(':')[2]}")
    anna, ben, cleo = (room.lan[name] for name in ("anna", "ben", "cleo"))

    # They start slaves, which find what is announced and go no further.
    without, with_foreign = (
        room.start_slave("ben", "--insecure"),
        room.start_slave("cleo", "--identity", *foreign_files),
    )
    without.wait_for(
        rf"a name server was seen at {address}, but it speaks TLS: run 'nameserver invite'"
    )
    with_foreign.wait_for(rf"a name server was seen at {address}, but it {OTHER_CA}")

    # They ask for names, by zeroconf and at the address.
    at = ("--nameserver", address)
    foreigner = ("--identity", *foreign_files)
    asked = [
        (Asking(host, *command, *options), code, why)
        for command in (("nameserver", "list"), ("masterslave", "list"))
        for host, options, code, why in (
            (
                ben,
                at,
                2,
                f"{address} is on TCP, where this machine",
            ),  # it was called in a wrong way
            (ben, (*at, "--insecure"), 1, "TLS is spoken here: give an identity="),
            (cleo, (*at, *foreigner), 1, f"{address} {OTHER_CA}"),
        )
    ]
    asked += [
        (
            Asking(ben, "nameserver", "lookup", "masterslave.lan"),
            1,
            "it speaks TLS: run 'nameserver invite'",
        ),
        (Asking(cleo, "nameserver", "ping", *foreigner), 1, f"it {OTHER_CA}"),
    ]
    for asking, code, why in asked:
        assert why in asking.said(code)

    # They know where the farm is.
    said = "code does not cross plain TCP; start the slave with --identity"
    ben.python("-m", "masterslave", "slave", "--farm", farm).wait_for(said)
    for uri, method in ((farm, "status"), (f"PYRO:Pyro.NameServer@{address}", "list")):
        knock = [sys.executable, "-c", KNOCK, uri, method]
        assert ben.run(knock).startswith("lost no ")
        told = cleo.run([*knock, *foreign_files])
        assert told.startswith("lost no ")
        assert OTHER_CA in told
        assert anna.run([*knock, *room.identity_of("anna")]).startswith("got {'")

    facts = script.wait_until(lambda facts: True, "how things stand")
    assert facts["results"] == facts["statistics"]["slaves_joined"] == 0
    assert "no slave seen" in facts["waits"]
    room.start_slave("anna").wait_for(FOUND)
    facts = script.wait_until(has_done("anna"), "work done by the one that belongs to it")
    assert facts["slaves"][0]["address"].startswith(f"{anna.address}:")
    assert set(script.finish()["done_by"]) == {"anna"}
    for slave in (without, with_foreign):
        assert slave.process.poll() is None
        assert not [line for line in slave.lines if "found farm" in line.text]
