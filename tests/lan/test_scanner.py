"""Who is not of the cluster finds ports, and hears a failed handshake at each."""

from __future__ import annotations

import json
import re
import resource
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from nameserver.discovery.mdns import SERVICE_TYPE
from nameserver.pairing import service
from nameserver.pairing.token import read_token
from remoteobj import Settings
from tests.certificates import Files
from tests.conftest import eventually
from tests.lan.hosts import Host, Running
from tests.lan.room import CLUSTER, FOUND, Room, has_done

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


SECRETS = (b"masterslave", b"master_script", b"hall", b"anna", b"ben", b"cleo", b"Pyro.NameServer",
           b"0.1.0", b"remoteobj")  # fmt: skip


@dataclass(frozen=True)
class Heard:
    """What came of talking to a port: all bytes, and those inside of TLS."""

    port: int
    said: str
    came: bytes
    inside: bytes
    certificate: bytes


def scan(stranger: Host, host: Host, ports: list[int], foreign: Files) -> list[Heard]:
    """Talk to each of these ports in each way."""
    at = json.dumps([[host.address, port] for port in ports])
    told = stranger.run(scanner(at, *map(str, foreign)), timeout_s=90, PYTHONPATH=ROOT)
    lines = [json.loads(line) for line in told.splitlines()]
    assert len(lines) == 6 * len(ports)
    parts = ("came", "inside", "certificate")
    return [
        Heard(line["at"][1], line["said"], *(bytes.fromhex(line[name]) for name in parts))
        for line in lines
    ]


def check_certificate(heard: Heard) -> None:
    """Whoever shakes hands sees whose machine this is, and of which cluster; and nobody else."""
    assert bool(heard.certificate) == heard.said.startswith("TLS")
    if heard.certificate:
        read = x509.load_der_x509_certificate(heard.certificate)
        names = [part.value for part in (*read.subject, *read.issuer)]
        assert names == ["hall", CLUSTER]
        said = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = said.get_values_for_type(x509.UniformResourceIdentifier)
        assert re.fullmatch("remoteobj:node:[0-9a-f]{16}:operator", uri)
        assert len(list(said)) == 1
        others = ("anna", "ben", "cleo", "masterslave", "lan", "0.1.0")
        assert not [each for each in others if each.encode() in heard.certificate]


def check_daemon(heard: Heard) -> None:
    """Nothing but a failed handshake; or one sentence, to who speaks Pyro's protocol plainly."""
    check_certificate(heard)
    assert not heard.inside, heard
    if heard.came.startswith(b"PYRO"):
        assert heard.said == "CONNECT"
        assert heard.came[40:].strip(b"'\"").endswith(SAID_TO_PLAIN), heard
        return
    assert is_failed_handshake(heard.came), heard
    assert not [each for each in SECRETS if each in heard.came], heard
    if heard.said.startswith("TLS"):
        assert "ALERT" in heard.said or not heard.came, heard


def check_join_port(heard: Heard, ca: bytes, secrets: list[bytes]) -> None:
    """The first message of joining to who speaks TLS: clock, CA, and name of the cluster."""
    check_certificate(heard)
    assert is_failed_handshake(heard.came), heard
    if not heard.said.startswith("TLS"):
        assert not heard.inside
        assert len(heard.came) <= 16, "an alert at most"
        return
    size = int.from_bytes(heard.inside[:4], "big")
    assert len(heard.inside) == 4 + size, "one message, and then it hangs up"
    hello = msgspec.msgpack.decode(heard.inside[4:])
    assert set(hello) == {"type", "version", "now", "ca", "cluster"}
    assert (hello["type"], hello["version"], hello["cluster"]) == ("hello", 1, CLUSTER)
    assert hello["ca"] == ca
    assert abs(hello["now"] - time.time()) < 60
    for each in (*SECRETS, *secrets):
        assert each not in heard.inside
        assert each not in x509.load_pem_x509_certificate(ca).public_bytes(Encoding.DER)


def test_a_stranger_hears_nothing_but_failed_handshakes(room: Room, foreign: Files) -> None:
    room.start_nameserver()
    script = room.start_script(at_least=100)
    room.start_slave("hall", "--serve", room.hall.address).wait_for(FOUND)
    script.wait_until(has_done("hall"), "work")
    hall, stranger = room.hall, room.lan["stranger"]
    tcp, udp = ports_of(hall)
    assert len(tcp) >= 3, "name server, farm, slave"
    for heard in scan(stranger, hall, tcp, foreign):
        check_daemon(heard)
    others = json.dumps([[hall.address, port] for port in udp if port != 5353])
    assert not stranger.run(scanner("--udp", others), PYTHONPATH=ROOT), "only zeroconf answers"
    at = json.dumps([[hall.address, port] for port in tcp])
    lived = stranger.run(scanner("--lifetime", at), timeout_s=60, PYTHONPATH=ROOT).split()
    print(f"ports {tcp}, udp {udp}; a connection that says nothing lives {', '.join(lived)} s")
    assert all(float(each) < 8 for each in lived)
    script.finish()


class Operator:
    """Types commands in the hall."""

    def __init__(self, room: Room) -> None:
        self._hall = room.hall
        self._at = ("--nameserver", f"{room.hall.address}:9090")

    def run(self, *words: str) -> str:
        return self._hall.run([sys.executable, "-m", "nameserver", *words, *self._at])

    def start(self, *words: str) -> Running:
        return self._hall.python("-m", "nameserver", *words, *self._at)


def test_while_somebody_is_invited_the_join_port_says_its_first_message(
    room: Room, foreign: Files
) -> None:
    room.start_nameserver()
    script = room.start_script(at_least=100)
    script.wait_until(lambda facts: True, "a farm")
    hall, stranger, operator = room.hall, room.lan["stranger"], Operator(room)
    before, _ = ports_of(hall)
    ca = (hall.config / "remoteobj/clusters" / CLUSTER / "ca.pem").read_bytes()

    token = operator.run("invite", "--json", "--role", "operator")
    text = json.loads(token)["token"]
    secrets = [text.encode(), read_token(text).secret, read_token(text).number]
    join_port = check_all(room, before, foreign, ca, secrets)
    at = json.dumps([[hall.address, join_port]])
    lived_s = float(stranger.run(scanner("--lifetime", at), timeout_s=60, PYTHONPATH=ROOT))
    print(f"join port {join_port}: a connection that says nothing lives {lived_s:.1f} s")
    assert lived_s < service.CONVERSATION_S + 2
    operator.run("invite", "--withdraw")
    eventually(lambda: ports_of(hall)[0] == before, "the join port is closed")

    pair = operator.start("pair")
    line = pair.wait_for(r"nameserver join --code \d{3}-\d{3}").text
    (code,) = re.findall(r"\d{3}-\d{3}", line)
    secrets = [code.encode(), code.replace("-", "").encode()]
    told = announced(stranger)
    check_all(room, before, foreign, ca, secrets)
    check_announced(told, {"tls": "hall", "join": "join"}, secrets)
    pair.signal(signal.SIGINT)
    pair.wait()
    eventually(lambda: ports_of(hall)[0] == before, "the join port is closed")
    eventually(lambda: len(announced(stranger)) == 1, "the code is not announced any more")
    check_announced(announced(stranger), {"tls": "hall"}, secrets)
    assert operator.run("members", "--json").count('"name"') == 4, "nobody has joined"


def check_all(
    room: Room, before: list[int], foreign: Files, ca: bytes, secrets: list[bytes]
) -> int:
    """Scan all ports, of which one is for joining; returns that."""
    hall, stranger = room.hall, room.lan["stranger"]
    ports, _ = ports_of(hall)
    (join_port,) = set(ports) - set(before)
    for heard in scan(stranger, hall, ports, foreign):
        if heard.port == join_port:
            check_join_port(heard, ca, secrets)
        else:
            check_daemon(heard)
    return join_port


Announced = dict[str, list[tuple[int, str]]]


def announced(stranger: Host) -> Announced:
    """Ask by mDNS as it is, from a socket: the records of each instance."""
    told = stranger.run(scanner("--mdns", stranger.address, SERVICE_TYPE), PYTHONPATH=ROOT)
    lines = [json.loads(line) for line in told.splitlines()]
    instances = {line["data"] for line in lines if line["name"] == SERVICE_TYPE.rstrip(".")}
    return {
        each: [(line["type"], line["data"]) for line in lines if line["name"] == each]
        for each in instances
    }


def check_announced(told: Announced, wanted: dict[str, str], secrets: list[bytes]) -> None:
    """It is said that there is a cluster of this name, what is spoken, and a number for the run."""
    assert len(told) == len(wanted)
    for instance, records in told.items():
        (text,) = {data for kind, data in records if kind == 16}
        said = properties_in(bytes.fromhex(text))
        assert set(said) == {"v", "transport", "id", "cluster"}
        assert said["v"] == "1"
        assert said["cluster"] == CLUSTER
        assert re.fullmatch("[0-9a-f]{16}", said["id"])
        kind = said["transport"]
        name = rf"{wanted[kind]}-{said['id'][:6]}-10-77-0-1\.{re.escape(SERVICE_TYPE.rstrip('.'))}"
        assert re.fullmatch(name, instance), instance
        for _, data in records:
            inside = bytes.fromhex(data)
            for each in (*SECRETS[:2], *SECRETS[3:], *secrets):
                if each != b"remoteobj":  # which the kind of service is called
                    assert each not in inside, (each, inside)


def properties_in(text: bytes) -> dict[str, str]:
    found = {}
    while text:
        size = text[0]
        key, _, value = text[1 : 1 + size].decode().partition("=")
        found[key], text = value, text[1 + size :]
    return found


@pytest.mark.serial
def test_a_crowd_at_the_join_port_keeps_no_guest_out(room: Room) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 3 * CROWD:
        pytest.skip("this machine lets a process have too few files")
    room.start_nameserver()
    hall, stranger, operator = room.hall, room.lan["stranger"], Operator(room)
    token = json.loads(operator.run("invite", "--json", "--uses", "2"))["token"]
    port = read_token(token).port
    pid = daemon_pids(hall)[port]
    before = rss_kib(pid)
    limit = f'ulimit -n {3 * CROWD}; exec "$@"'
    at = json.dumps([[hall.address, port]])
    crowd = stranger.popen(
        ["sh", "-c", limit, "sh", *scanner("--crowd", at, str(CROWD))], PYTHONPATH=ROOT
    )
    crowd.wait_for("holds", 30)
    begun = time.monotonic()
    guest = room.lan["foreigner"]  # it has another address than the crowd
    join = guest.python("-m", "nameserver", "join", "--cluster", "second")
    join.say_last(token)
    assert join.wait() == 0, join.output()
    joined_s = time.monotonic() - begun
    opened = int(crowd.wait_for("opened", 60).text.split()[1])
    grown = rss_kib(pid) - before
    held = service._MOST_FROM_ONE + service._MOST_WAITING_FROM_ONE
    print(
        f"{opened} half-open at the join port; a guest has joined after {joined_s:.1f} s; "
        f"{grown} KiB more, {grown / held:.1f} KiB for each of at most {held} of one address"
    )
    assert opened >= CROWD
    assert grown < 8 << 10
    crowd.say("enough")


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
