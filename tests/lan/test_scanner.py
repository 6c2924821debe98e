"""Who is not of the cluster finds ports, and hears a failed handshake at each."""

from __future__ import annotations

import json
import re
import resource
import shutil
import sys
import time
from pathlib import Path

import pytest

from remoteobj import Settings
from tests.certificates import Files
from tests.lan.hosts import Host
from tests.lan.room import FOUND, Room, has_done

ROOT = str(Path(__file__).parents[2])
CROWD = 2000
SAID_TO_PLAIN = b"TLS is spoken here: give an identity= of this cluster"
"""All that a daemon says that is not TLS: to one who speaks Pyro's protocol in the clear."""

pytestmark = pytest.mark.skipif(shutil.which("ss") is None, reason="needs ss, of iproute2")


def ports_of(host: Host) -> tuple[list[int], list[int]]:
    """Return the TCP and the UDP ports at which anybody listens on a host, from elsewhere."""
    tcp, udp = set(), set()
    for line in host.run(["ss", "-ltnupH"]).splitlines():
        kind, local = line.split()[0], line.split()[4]
        port = int(local.rpartition(":")[2])
        if not local.startswith(("127.", "[::1]")):
            (tcp if kind == "tcp" else udp).add(port)
    return sorted(tcp), sorted(udp)


def rss_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (kib,) = re.findall(r"VmRSS:\s+(\d+)", text)
    return int(kib)


def daemon_pids(host: Host) -> dict[int, int]:
    """Return which process has which TCP port."""
    text = host.run(["ss", "-ltnpH"])
    found = re.findall(r":(\d+)\s.*?pid=(\d+)", text)
    return {int(port): int(pid) for port, pid in found}


def scanner(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", "tests.lan.scanner", *arguments]


def is_failed_handshake(came: bytes) -> bool:
    """Tell whether these are TLS records, and end: nothing comes after the alert."""
    while came:
        size = 5 + int.from_bytes(came[3:5], "big")
        if came[0] not in (20, 21, 22, 23) or len(came) < size:
            return False
        came = came[size:]
    return True


def test_a_stranger_hears_nothing_but_failed_handshakes(room: Room, foreign: Files) -> None:
    room.start_nameserver()
    script = room.start_script(at_least=100)
    room.start_slave("hall", "--serve", room.hall.address).wait_for(FOUND)
    script.wait_until(has_done("hall"), "work")
    hall, stranger = room.hall, room.lan["stranger"]
    tcp, udp = ports_of(hall)
    assert len(tcp) >= 3, "name server, farm, slave"
    at = json.dumps([[hall.address, port] for port in tcp])
    lines = stranger.run(
        scanner(at, *map(str, foreign)), timeout_s=90, PYTHONPATH=ROOT
    ).splitlines()
    assert len(lines) == 6 * len(tcp)
    secrets = [
        b"masterslave",
        b"master_script",
        b"hall",
        b"Pyro.NameServer",
        b"0.1.0",
        b"remoteobj",
    ]
    for line in lines:
        heard = json.loads(line)
        came, inside = bytes.fromhex(heard["came"]), bytes.fromhex(heard["inside"])
        assert not inside, heard
        if came.startswith(b"PYRO"):
            assert heard["said"] == "CONNECT"
            assert came[40:].strip(b"'\"").endswith(SAID_TO_PLAIN), came
            continue
        assert is_failed_handshake(came), heard
        assert not [each for each in secrets if each in came], heard
        if heard["said"].startswith("TLS"):
            assert "ALERT" in heard["said"] or not came, heard
    others = json.dumps([[hall.address, port] for port in udp if port != 5353])
    assert not stranger.run(scanner("--udp", others), PYTHONPATH=ROOT), "only zeroconf answers"
    lived = stranger.run(scanner("--lifetime", at), timeout_s=60, PYTHONPATH=ROOT).split()
    print(f"ports {tcp}, udp {udp}; a connection that says nothing lives {', '.join(lived)} s")
    assert all(float(each) < 8 for each in lived)
    script.finish()


@pytest.mark.serial
def test_a_crowd_at_name_server_and_farm_keeps_no_slave_out(room: Room) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 3 * CROWD:
        pytest.skip("this machine lets a process have too few files")
    room.start_nameserver()
    script = room.start_script(at_least=100)
    script.wait_until(lambda facts: True, "a farm")
    hall, stranger = room.hall, room.lan["stranger"]
    owners = daemon_pids(hall)
    at = json.dumps([[hall.address, port] for port in owners])
    before = {pid: rss_kib(pid) for pid in owners.values()}
    limit = f'ulimit -n {3 * CROWD}; exec "$@"'
    command = ["sh", "-c", limit, "sh", *scanner("--crowd", at, str(CROWD))]
    crowd = stranger.popen(command, PYTHONPATH=ROOT)
    begun = time.monotonic()
    room.start_slave("anna").wait_for(FOUND, 30)
    joined_s = time.monotonic() - begun
    grown = {pid: rss_kib(pid) - kib for pid, kib in before.items()}
    script.wait_until(has_done("anna"), "work of the member")
    opened = int(crowd.wait_for("opened", 60).text.split()[1])
    held = Settings().max_handshakes
    print(
        f"{opened} half-open at {len(owners)} daemons; a slave has joined after {joined_s:.1f} s; "
        f"KiB more: {list(grown.values())}, "
        f"{max(grown.values()) / held:.1f} KiB for each of at most {held}"
    )
    assert opened >= CROWD
    assert max(grown.values()) < 64 << 10
    crowd.say("enough")
    script.finish()
