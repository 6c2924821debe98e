"""What the doctor sees of this machine and of a name server on loopback."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
import zeroconf

from nameserver import NameServer, NameServerClient, NameServerNotFound, locate
from nameserver.doctor import Wish, judge, look, see_multicast
from nameserver.doctor.facts import Card, Found, Missing, Visit
from nameserver.doctor.see_machine import (
    network_of,
    see_cards,
    see_firewall,
    see_host,
    see_packages,
    see_system,
)
from nameserver.doctor.see_multicast import announcement, hear, hear_on_all, question
from nameserver.doctor.see_server import TEST_PREFIX, missing_of, see_found, visit
from remoteobj import Identity, RemoteObjError
from tests.certificates import Files
from tests.conftest import StartScript, eventually
from tests.nameserver.command import command

LO = Card("lo", "127.0.0.1", 8, "loopback")

STOCK_SERVER = """
import Pyro5.nameserver
uri, daemon, _ = Pyro5.nameserver.start_ns("127.0.0.1", 0, enableBroadcast=False)
print(daemon.locationStr, flush=True)
daemon.requestLoop()
"""

FAST_CLOCK = """
import sys, time
now = time.time
time.time = lambda: now() + 3600
from nameserver.cli import main
sys.argv[1:] = ["run", "--host", "127.0.0.1", "--port", "0", "--insecure", "--no-announce"]
main()
"""


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


# This machine.


def test_what_is_installed() -> None:
    packages = {package.name: package for package in see_packages()}
    assert packages["Pyro5"].version
    assert packages["zeroconf"].version == zeroconf.__version__
    assert packages["zeroconf"].least == "0.132"


def test_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    cards, problem = see_cards()
    loopback = next(card for card in cards if card.address == "127.0.0.1")
    assert (loopback.kind, loopback.bits, problem) == ("loopback", 8, "")
    assert loopback.state in ("up", "unknown")
    assert [card for card in cards if card.is_chosen] == [loopback]
    assert network_of(cards, "127.0.0.1") == "127.0.0.0/8"
    assert network_of(cards, "192.0.2.77") == ""
    monkeypatch.setenv("REMOTEOBJ_INTERFACES", "127.0.0.1,192.0.2.77")
    _, problem = see_cards()
    assert "has 192.0.2.77, which is no address of this machine: it has 127.0.0.1" in problem
    monkeypatch.setenv("REMOTEOBJ_INTERFACES", "eth0")
    cards, problem = see_cards()
    assert "'eth0' is no IPv4 address" in problem
    assert cards


def test_its_name_and_its_firewall() -> None:
    name, addresses = see_host()
    assert name == socket.gethostname()
    assert all(":" in address or address.count(".") == 3 for address in addresses)
    assert see_system() in ("linux", "macos", "windows")
    assert see_firewall() in ("ufw", "firewalld", "other")


# Multicast.


def test_what_is_sent_is_what_zeroconf_reads() -> None:
    read = zeroconf.DNSIncoming(announcement("ro-12ab"))
    assert read.valid
    (answer,) = read.answers()
    assert isinstance(answer, zeroconf.DNSPointer)
    assert answer.alias == "ro-12ab._ro-doctor._udp.local."
    assert (answer.name, answer.ttl) == ("_ro-doctor._udp.local.", 0)
    asked = zeroconf.DNSIncoming(question())
    assert asked.valid
    assert [each.name for each in asked.questions] == ["_services._dns-sd._udp.local."]


def test_an_announcement_comes_back_on_loopback() -> None:
    (hearing,) = hear_on_all([LO])
    assert (hearing.card, hearing.heard, hearing.others) == (LO, "heard", ())
    assert hear_on_all([]) == ()


def test_an_address_that_is_not_there_carries_nothing() -> None:
    hearing = hear(Card("eth9", "192.0.2.77", 24, "usable"), set(), listen_s=0.1)
    assert hearing.heard in ("no route", "failed")
    assert hearing.said


def test_a_port_that_another_program_keeps_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", 0))
        monkeypatch.setattr(see_multicast, "PORT", other.getsockname()[1])
        hearing = hear(LO, set(), listen_s=0.1)
    assert (hearing.heard, hearing.said) == ("port taken", "Address already in use")


# The name server.


def lost(address: str | None, **options: bool) -> Missing:
    with pytest.raises(RemoteObjError) as caught:
        locate(address, timeout_s=0.3, **options)
    return missing_of(caught.value, address)


def test_nobody_listens_there() -> None:
    missing = lost("127.0.0.1:1", insecure=True)
    assert (missing.host, missing.port, missing.dialled) == ("127.0.0.1", 1, "refused")
    assert not missing.is_refused


def test_a_host_that_nobody_knows() -> None:
    assert lost("no-such-host.invalid:9090", insecure=True).dialled == "unknown host"


def test_what_is_no_address() -> None:
    missing = lost("there", insecure=True)
    assert "'there' is no address of a name server" in missing.said
    assert (missing.dialled, missing.host) == ("not tried", "")


def test_somebody_else_listens_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=lambda: [listener.accept()[0].close() for _ in "ab"])
        thread.start()
        missing = lost(f"127.0.0.1:{port}", insecure=True)
        thread.join(10)
    assert (missing.dialled, missing.is_refused) == ("answers", False)


def test_it_may_not_be_asked(server: NameServer) -> None:
    missing = lost(server.address)
    assert (missing.is_refused, missing.dialled) == (True, "answers")


@pytest.mark.usefixtures("own_network")
def test_nobody_announces_one() -> None:
    missing = lost(None, insecure=True)
    assert "nobody announces one" in missing.said
    assert "start one with" not in missing.said, "the doctor says it better"
    assert (missing.host, missing.is_refused) == ("", False)


@pytest.mark.usefixtures("own_network")
def test_there_are_several_clusters() -> None:
    with pytest.warns(match="plain TCP"):
        servers = [NameServer("127.0.0.1", insecure=True, cluster=name) for name in ("a", "b")]
    with servers[0], servers[1]:
        with pytest.raises(NameServerNotFound) as caught:
            locate(insecure=True, timeout_s=5)
        assert missing_of(caught.value, None).is_for_choice


def test_an_object_is_served_and_registered_for_a_moment(
    server: NameServer, client: NameServerClient
) -> None:
    cards, _ = see_cards()
    events = []
    with client.watch(TEST_PREFIX, on_event=events.append) as watch:
        eventually(lambda: watch.revision, "the watch began")
        seen = visit(client, cards, None)
        eventually(lambda: len(events) == 2, "it came and went")
    assert seen == Visit(seen.address, "127.0.0.0/8", ahead_s=0.0)
    assert [event.kind for event in events] == ["registered", "removed"]
    assert str(events[0].record.uri).endswith(f"@{seen.address}")
    assert events[0].record.lease_s == 10.0
    assert client.list(TEST_PREFIX) == ()
    found = see_found(client)
    assert (found.address, found.how, found.cluster) == (server.address, "given", "default")
    assert (found.is_stock, 0 < found.answer_s < 5) == (False, True)


def test_over_tls(identity: Identity) -> None:
    with NameServer("127.0.0.1", identity=identity, announce=False) as server:
        facts = look(Wish(server.address, identity=identity))
    assert isinstance(facts.server, Found)
    assert facts.visit is not None
    assert facts.visit.refused == ""
    assert facts.credentials.subject == identity.subject
    assert not [each for each in judge(facts) if each.check == "objects" and each.level == "wrong"]


@pytest.fixture
def stock(start_script: StartScript) -> Iterator[NameServerClient]:
    address = first_line(start_script("-c", STOCK_SERVER)).strip()
    with closing(NameServerClient(address, insecure=True, quiet=True)) as client:
        yield client


def test_pyro5s_own_server_calls_nobody(stock: NameServerClient) -> None:
    facts = look(Wish(stock.address, insecure=True))
    assert isinstance(facts.server, Found)
    assert (facts.server.is_stock, facts.server.cluster, facts.visit) == (True, "", None)


def test_a_server_whose_clock_is_an_hour_ahead(start_script: StartScript) -> None:
    address = first_line(start_script("-c", FAST_CLOCK)).split()[3].rstrip(",")
    facts = look(Wish(address, insecure=True))
    assert facts.visit is not None
    assert facts.visit.ahead_s == pytest.approx(3600, abs=60)
    (found,) = (each for each in judge(facts) if each.check == "clock")
    assert (found.level, "60 min ahead of this machine's" in found.text) == ("wrong", True)


# The command.


def levels(said: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in json.loads(said)["findings"]:
        assert set(each) == {"check", "level", "text", "mend"}
        found.setdefault(each["check"], set()).add(each["level"])
    return found


def test_the_command(server: NameServer) -> None:
    at = ("--nameserver", server.address, "--insecure")
    code, out, err = command("doctor", "--json", *at)
    assert err == ""
    assert json.loads(out)["is_well"] == (code == 0)
    found = levels(out)
    assert (code == 1) == any("wrong" in each for each in found.values())
    assert (found["name server"], found["objects"], found["clock"]) == ({"ok"}, {"note"}, {"ok"})
    assert found["multicast"] == {"ok"}
    assert found["identity"] == {"note"}
    _, out, _ = command("doctor", *at)
    lines = out.splitlines()
    assert f"ok     name server  {server.address} of the cluster 'default' answers in" in out
    assert "                    -> nameserver run --host " in out
    assert lines[-1] == "nothing is wrong" or lines[-1].endswith("wrong")
    assert "\x1b" not in out


def test_the_command_on_a_terminal(server: NameServer) -> None:
    look = {"COLUMNS": "80", "TERM": "xterm", "NO_COLOR": "1"}
    at = ("--nameserver", server.address, "--insecure")
    _, out, err = command("doctor", *at, is_terminal=True, **look)
    assert err == "looking at this machine and its network ...\n"
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert max(map(len, plain.splitlines())) <= 80
    assert re.search(r"^ok +name server +127\.0\.0\.1:", plain, re.MULTILINE)
    assert len(re.findall("interfaces", plain)) == 1


def test_the_command_says_what_is_wrong() -> None:
    nobody = ("--nameserver", "127.0.0.1:1", "--insecure")
    code, out, _ = command("doctor", *nobody)
    assert code == 1
    assert "wrong  name server  nobody listens at 127.0.0.1:1\n" in out
    assert "-> nameserver run --host 127.0.0.1 --port 1 --insecure   # on that machine\n" in out
    code, out, _ = command("doctor", "--nameserver", "there", "--insecure")
    assert (code, "'there' is no address of a name server" in out) == (1, True)


def test_an_identity_that_is_none_is_a_finding(cluster: dict[str, Files], foreign: Files) -> None:
    ca, _, key = map(str, cluster["master"])
    broken = ("--identity", ca, str(foreign.certificate), key)
    code, out, err = command("doctor", "--json", "--nameserver", "127.0.0.1:1", *broken)
    assert (code, err) == (1, "")
    assert levels(out)["identity"] == {"wrong"}
    code, out, err = command("doctor", *broken, "--insecure")
    assert (code, out, "give one of them" in err) == (2, "", True)
