"""``nameserver doctor`` on hosts of a network: one in order, and what is broken on others."""

from __future__ import annotations

import json
from typing import NamedTuple

import pytest

from tests.lan.hosts import Host, ip
from tests.lan.room import Room

NAMESERVER = "name server"


class Said(NamedTuple):
    """What the doctor has said."""

    code: int
    findings: list[dict[str, str]]

    def of(self, check: str, level: str) -> str:
        """Return the one finding of this kind, with what mends it."""
        found = [each for each in self.findings if (each["check"], each["level"]) == (check, level)]
        assert len(found) == 1, self.findings
        return f"{found[0]['text']} -> {found[0]['mend']}"

    def wrong(self) -> set[str]:
        """Return what is wrong."""
        return {each["check"] for each in self.findings if each["level"] == "wrong"}


def doctor(room: Room, name: str, **environment: str) -> Said:
    process = room.lan[name].python(
        *("-W", "ignore", "-m", "nameserver", "doctor", "--json", "--timeout", "5"),
        **environment,
    )
    code = process.wait(30)
    told = json.loads("\n".join(line.text for line in process.lines))
    assert told["is_well"] == (code == 0)
    return Said(code, told["findings"])


def test_a_host_in_order(room: Room) -> None:
    room.start_nameserver()
    said = doctor(room, "cleo")
    assert said.code == 0, said.findings
    cleo, hall = room.lan["cleo"].address, room.hall.address
    multicast = f"{cleo} (eth0): an announcement came back, and other machines were heard ({hall}"
    assert any(each["text"].startswith(multicast) for each in said.findings)
    assert said.of(NAMESERVER, "ok").startswith(f"{hall}:")
    assert f"has called an object of this machine at {cleo}:" in said.of("objects", "ok")
    assert "as at the name server" in said.of("clock", "ok")
    assert f"other machines are given {cleo} (eth0)" in said.of("address", "ok")


KEEPS_PORT = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("", 5353))
print("it has it", flush=True)
sock.recv(1)
"""


def test_a_host_whose_multicast_does_not_work(room: Room) -> None:
    address = room.start_nameserver().lines[-1].text.split()[3].rstrip(",")
    ben = room.lan["ben"]
    ben.python("-c", KEEPS_PORT).wait_for("it has it")
    said = doctor(room, "ben")
    assert (said.code, said.wrong()) == (1, {"multicast", NAMESERVER})
    wrong = said.of("multicast", "wrong")
    assert wrong.startswith(f"{ben.address} (eth0): another program keeps port 5353 to itself")
    assert wrong.endswith("-> sudo ss -ulpn 'sport = :5353'")
    said = doctor(room, "ben", REMOTEOBJ_NAMESERVER=address)
    assert said.code == 0, "who is told where it is needs no multicast"
    assert {each["level"] for each in said.findings if each["check"] == "multicast"} == {"note"}


def test_a_host_whose_firewall_lets_nobody_in(room: Room) -> None:
    address = room.start_nameserver().lines[-1].text.split()[3].rstrip(",")
    cleo = room.lan["cleo"]
    drop_answers_of_objects(cleo, room.hall, address)
    said = doctor(room, "cleo")
    assert (said.code, said.wrong()) == (1, {"objects"})
    assert f"does not reach objects of this machine at {cleo.address}:" in said.of(
        "objects", "wrong"
    )
    assert "timed out after 2 s" in said.of("objects", "wrong")
    assert said.of("objects", "wrong").endswith("-s 10.77.0.0/24 -j ACCEPT")


def drop_answers_of_objects(host: Host, server: Host, address: str) -> None:
    """Drop what a host sends to the server, unless it goes to the name server's port."""
    rule = ("-n", host.namespace, "rule", "add", "pref")
    port = address.rpartition(":")[2]
    try:
        ip(*rule, "100", "ipproto", "tcp", "dport", port, "lookup", "main")
        ip(*rule, "200", "to", server.address, "blackhole")
    except OSError as error:
        pytest.skip(f"this kernel has no rules for ports: {error}")


def test_a_name_server_that_is_gone(room: Room) -> None:
    server = room.start_nameserver()
    address = server.lines[-1].text.split()[3].rstrip(",")
    server.close()
    said = doctor(room, "anna", REMOTEOBJ_NAMESERVER=address)
    host, port = address.split(":")
    assert (said.code, said.wrong()) == (1, {NAMESERVER})
    assert f"nobody listens at {address} -> nameserver run --host {host} --port {port}" in said.of(
        NAMESERVER, "wrong"
    )
    room.lan["anna"].cut()
    said = doctor(room, "anna", REMOTEOBJ_NAMESERVER=address)
    assert said.wrong() >= {NAMESERVER}
    assert "has no cable, or no Wi-Fi network" in said.of("interfaces", "wrong")
