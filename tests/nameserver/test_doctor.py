"""What the doctor says of facts that were made up: what can be wrong, and what mends it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nameserver.doctor import Facts, Finding, judge
from nameserver.doctor.facts import (
    Card,
    Credentials,
    Dialled,
    Firewall,
    Found,
    Heard,
    Hearing,
    Kind,
    Missing,
    Package,
    State,
    System,
    Visit,
)

CAME_BACK = "an announcement came back"
SECURED = "--identity CA CERTIFICATE KEY"
SAY_WHERE = "export REMOTEOBJ_NAMESERVER=HOST:PORT"

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp()
LO = Card("lo", "127.0.0.1", 8, "loopback", state="up", has_multicast=False)
ETH = Card("eth0", "192.168.1.21", 24, "usable", state="up", has_multicast=True)
WIFI = Card("wlan0", "10.0.0.7", 8, "usable", state="up", has_multicast=True)
SERVER = Found("192.168.1.20:9090", "zeroconf", 0.0012, "lab")
SEEN = Visit("192.168.1.21:4711", "192.168.1.0/24", hosts=("192.168.1.21:4711",), ahead_s=0.0)
WELL = Facts(
    python="3.11.7",
    packages=(Package("Pyro5", "5.16", "5.16"), Package("zeroconf", "0.154.0", "0.132")),
    now=NOW,
    firewall="ufw",
    host_name="anna",
    host_addresses=("192.168.1.21",),
    cards=(LO, ETH),
    hearings=(Hearing(LO, "heard"), Hearing(ETH, "heard", others=("192.168.1.20",))),
    credentials=Credentials(subject="anna", days_left=300, has_files=True),
    server=SERVER,
    visit=SEEN,
)


def of(check: str, **changed: Any) -> list[Finding]:
    """Return what is said of one thing, where these facts are not as on a machine in order."""
    return [finding for finding in judge(replace(WELL, **changed)) if finding.check == check]


def only(check: str, level: str, **changed: Any) -> Finding:
    """Return the one finding of this level."""
    (finding,) = (each for each in of(check, **changed) if each.level == level)
    return finding


def test_a_machine_in_order() -> None:
    assert [(each.check, each.level, each.text, each.mend) for each in judge(WELL)] == [
        ("versions", "ok", "Python 3.11.7, Pyro5 5.16, zeroconf 0.154.0", ""),
        (
            "interfaces",
            "ok",
            "lo 127.0.0.1/8 is up: leads back to this machine, so no other machine is given it",
            "",
        ),
        ("interfaces", "ok", "eth0 192.168.1.21/24 is up: other machines can be given it", ""),
        ("address", "ok", "other machines are given 192.168.1.21 (eth0)", ""),
        ("multicast", "ok", "127.0.0.1 (lo): an announcement came back", ""),
        (
            "multicast",
            "ok",
            f"192.168.1.21 (eth0): {CAME_BACK}, and other machines were heard (192.168.1.20)",
            "",
        ),
        ("identity", "ok", "TLS as 'anna', for 300 more days", ""),
        (
            "name server",
            "ok",
            "192.168.1.20:9090 of the cluster 'lab' answers in 1.2 ms (address: zeroconf)",
            "",
        ),
        ("clock", "ok", "2026-05-01 12:00:00 UTC, as at the name server", ""),
        (
            "objects",
            "ok",
            "the name server has called an object of this machine at 192.168.1.21:4711",
            "",
        ),
    ]


@pytest.mark.parametrize("version", [None, "5.15", "4.99.9"])
def test_a_package_is_too_old_or_missing(version: str | None) -> None:
    found = only("versions", "wrong", packages=(Package("Pyro5", version, "5.16"),))
    assert "Pyro5" in found.text
    assert found.mend == "python -m pip install --upgrade 'Pyro5>=5.16'"


@pytest.mark.parametrize("version", ["5.16", "5.16.1", "5.100", "6.0rc1"])
def test_a_package_is_new_enough(version: str) -> None:
    assert len(of("versions", packages=(Package("Pyro5", version, "5.16"),))) == 1


def test_an_interface_is_down() -> None:
    down = replace(ETH, state="down")
    found = only("interfaces", "wrong", cards=(LO, down))
    assert (found.text, found.mend) == (
        "eth0 192.168.1.21/24 is down: nobody is reached by it",
        "sudo ip link set eth0 up",
    )
    assert only("interfaces", "note", cards=(LO, down, WIFI)).text == found.text
    unplugged = only("interfaces", "wrong", cards=(replace(ETH, state="unplugged"),))
    assert "eth0 192.168.1.21/24 has no cable, or no Wi-Fi network" in unplugged.text
    assert unplugged.mend.endswith("nmcli device connect eth0")
    unknown = of("interfaces", cards=(replace(ETH, state="unknown"),))
    assert unknown[0].text == "eth0 192.168.1.21/24: other machines can be given it"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("loopback", "leads back to this machine"),
        ("bridge", "leads to containers or virtual machines of this machine"),
        ("link-local", "is only valid together with an interface"),
    ],
)
def test_which_interfaces_are_not_for_others(kind: Kind, words: str) -> None:
    (found,) = of("interfaces", cards=(replace(ETH, kind=kind),))
    assert (found.level, words in found.text) == ("ok", True)
    assert "no other machine is given it" in found.text


def test_the_chosen_interfaces() -> None:
    problem = "REMOTEOBJ_INTERFACES has 10.9.9.9, which is no address of this machine"
    assert only("interfaces", "wrong", bad_choice=problem) == Finding(
        "interfaces", "wrong", problem, "unset REMOTEOBJ_INTERFACES"
    )
    found = only("interfaces", "note", cards=(LO, replace(ETH, is_chosen=False)))
    assert found.text.endswith("are not looked for: REMOTEOBJ_INTERFACES is 127.0.0.1")
    assert found.mend == "unset REMOTEOBJ_INTERFACES"


def test_the_address_that_others_are_given() -> None:
    assert only("address", "wrong", cards=(LO,)).text.endswith("it is in no network")
    six = replace(ETH, address="fd00::2", bits=64)
    assert of("address", cards=(LO, six, ETH, WIFI))[0].text == (
        "each machine is given the one of the network it is in: 192.168.1.21 (eth0), "
        "10.0.0.7 (wlan0), fd00::2 (eth0)"
    )


def test_what_the_machines_own_name_stands_for() -> None:
    found = only("address", "note", host_addresses=("127.0.1.1",))
    assert "'anna' stands for 127.0.1.1 on this machine" in found.text
    assert 'Daemon("192.168.1.21")' in found.mend
    found = only("address", "note", host_addresses=("192.168.1.99",))
    assert "'anna' stands for 192.168.1.99, which is not this machine's" in found.text
    assert found.mend == "put '192.168.1.21 anna' into /etc/hosts"
    assert len(of("address", host_addresses=())) == 1


@pytest.mark.parametrize(
    ("heard", "said", "words", "mend"),
    [
        ("unheard", "", "did not come back: a firewall", "sudo ufw allow 5353/udp"),
        ("no route", "", "multicast has no way out", "sudo ip route add 224.0.0.0/4 dev eth0"),
        ("port taken", "in use", "keeps port 5353 to itself", "sudo ss -ulpn 'sport = :5353'"),
        ("forbidden", "not permitted", "it must not be sent", "sudo ufw allow out 5353/udp"),
        ("failed", "odd", "multicast failed (odd)", "export REMOTEOBJ_NAMESERVER=HOST:PORT"),
    ],
)
def test_multicast_fails(heard: Heard, said: str, words: str, mend: str) -> None:
    found = only("multicast", "wrong", hearings=(Hearing(ETH, heard, said),))
    assert found.text.startswith("192.168.1.21 (eth0): ")
    assert words in found.text
    assert found.text.endswith("; name servers are not found by it")
    assert found.mend == mend


def test_multicast_fails_where_it_does_no_harm() -> None:
    told = replace(SERVER, how="REMOTEOBJ_NAMESERVER")
    found = only("multicast", "note", hearings=(Hearing(ETH, "unheard"),), server=told)
    assert "no harm, because it was said where" in found.text
    only("multicast", "note", hearings=(Hearing(LO, "unheard"),))
    tunnel = Card("wg0", "10.8.0.2", 24, "usable", state="up", has_multicast=False)
    deaf = Hearing(tunnel, "no route")
    found = only("multicast", "note", hearings=(deaf, *WELL.hearings))
    assert "it is not set up for multicast; another interface is" in found.text
    assert found.mend == "sudo ip link set dev wg0 multicast on"
    assert only("multicast", "wrong", hearings=(deaf,)).mend == found.mend


def test_nobody_else_is_heard() -> None:
    alone = (Hearing(ETH, "heard"),)
    assert [each.level for each in of("multicast", hearings=alone)] == ["ok"]
    found = only("multicast", "note", hearings=alone, server=Missing("none"))
    assert "but no other machine was heard" in found.text
    assert found.mend == "export REMOTEOBJ_NAMESERVER=HOST:PORT"
    many = Hearing(ETH, "heard", others=tuple(f"192.168.1.{last}" for last in range(9)))
    assert "192.168.1.4 and more)" in of("multicast", hearings=(many,))[0].text


@pytest.mark.parametrize(
    ("held", "level", "words", "mends"),
    [
        (Credentials(problem="ca.pem is no CA"), "wrong", "ca.pem is no CA", "openssl x509"),
        (Credentials(subject="anna", days_left=3.2), "note", "ends in 3 days", "new certificate"),
        (
            Credentials(subject="anna", days_left=3.2, cluster="lab", role="slave"),
            "note",
            "slave of the cluster 'lab', whose certificate ends in 3 days",
            "it renews the certificate",
        ),
        (Credentials(is_insecure=True), "note", "plain TCP: anyone on the network", ""),
        (Credentials(), "note", "this account is in no cluster", "nameserver invite"),
    ],
)
def test_how_tcp_is_spoken(held: Credentials, level: str, words: str, mends: str) -> None:
    (found,) = of("identity", credentials=held)
    assert (found.level, words in found.text, mends in found.mend) == (level, True, True)


CLOCK = "sudo timedatectl set-ntp true"


@pytest.mark.parametrize(
    ("said", "mend"),
    [
        ("the certificate of hall is valid from 2027 on: set this machine's clock", CLOCK),
        ("the certificate x.pem is valid from 2027 on: set the clock, or wait", CLOCK),
        ("its certificate is not trusted: certificate is not yet valid", CLOCK),
        ("the certificate x.pem expired at 2026: renew it, or set the clock", CLOCK + "   # if"),
        (
            "others can read the key x.pem (mode 0644): run 'chmod 600 x.pem', and",
            "chmod 600 x.pem",
        ),
    ],
)
def test_what_is_wrong_with_clock_or_modes_is_mended_there(said: str, mend: str) -> None:
    mine = Credentials(problem=said)
    assert only("identity", "wrong", credentials=mine).mend.startswith(mend)
    for held in (mine, Credentials(subject="anna", cluster="lab", days_left=300)):
        found = only(
            "name server", "wrong", server=Missing(said, is_refused=True), credentials=held
        )
        assert found.mend.startswith(mend)
    joined = Missing("it is of another cluster", is_refused=True)
    found = only("name server", "wrong", server=joined, credentials=Credentials())
    assert found.mend.startswith("nameserver join")


@pytest.mark.parametrize(
    ("dialled", "words", "mend"),
    [
        (
            "refused",
            "nobody listens at hall:9090",
            f"nameserver run --host hall --port 9090 {SECURED}   # on that machine",
        ),
        ("timed out", "hall:9090 does not answer", "sudo ufw allow 9090/tcp   # on that machine"),
        ("unreachable", "no way leads from here to hall", "ip route get hall"),
        ("unknown host", "not know the name 'hall'", "export REMOTEOBJ_NAMESERVER=ADDRESS:9090"),
        ("answers", "it is a web server", "nameserver ping --nameserver hall:9090 --debug"),
    ],
)
def test_the_name_server_does_not_answer(dialled: Dialled, words: str, mend: str) -> None:
    missing = Missing("it is a web server", host="hall", port=9090, dialled=dialled)
    found = only("name server", "wrong", server=missing, visit=None)
    assert words in found.text
    assert found.mend == mend
    assert only("objects", "note", server=missing, visit=None)


def test_the_name_server_does_not_talk_to_us() -> None:
    missing = Missing("it speaks TLS", is_refused=True, host="hall", port=1, dialled="answers")
    found = only("name server", "wrong", server=missing)
    assert (found.text, found.mend) == (
        "it speaks TLS",
        "nameserver doctor --identity CA CERTIFICATE KEY",
    )


def test_there_are_several_clusters() -> None:
    found = only("name server", "wrong", server=Missing("of 2 clusters", is_for_choice=True))
    assert (found.text, found.mend) == ("of 2 clusters", "export REMOTEOBJ_CLUSTER=NAME")


def test_there_is_no_name_server() -> None:
    found = only("name server", "wrong", server=Missing("nobody announces one"))
    assert (found.text, found.mend) == (
        "nobody announces one",
        f"nameserver run --host 192.168.1.21 {SECURED}   # or, where one runs: {SAY_WHERE}",
    )
    plain = {"server": Missing("nobody"), "credentials": Credentials(is_insecure=True)}
    assert "--host 192.168.1.21 --insecure" in only("name server", "wrong", **plain).mend
    assert "--host ADDRESS" in only("name server", "wrong", **plain, cards=(LO,)).mend


def test_the_name_server_is_pyro5s_own() -> None:
    stock = replace(SERVER, is_stock=True)
    assert "it is Pyro5's own" in only("name server", "note", server=stock, visit=None).text
    assert "cannot say" in only("objects", "note", server=stock, visit=None).text


@pytest.mark.parametrize(
    ("ahead_s", "level", "words"),
    [
        (None, "ok", "compared with no other machine's"),
        (-4.9, "ok", "as at the name server"),
        (12.0, "note", "the name server's clock is 12 s ahead of this machine's"),
        (-61.0, "wrong", "is 61 s behind this machine's"),
        (600.0, "wrong", "is 10 min ahead of this machine's"),
        (-90_000.0, "wrong", "is 25 h behind this machine's"),
    ],
)
def test_clocks_differ(ahead_s: float | None, level: str, words: str) -> None:
    (found,) = of("clock", visit=replace(SEEN, ahead_s=ahead_s))
    assert (found.level, words in found.text) == (level, True)
    assert ("sudo timedatectl set-ntp true" in found.mend) == (level != "ok")


def test_a_clock_was_never_set() -> None:
    found = only("clock", "wrong", now=3600.0, visit=None)
    assert "it is 1970-01-01 01:00:00 UTC on this machine" in found.text


@pytest.mark.parametrize(
    ("why", "mend"),
    [
        ("timed out after 2 s", "sudo ufw allow proto tcp from 192.168.1.0/24"),
        ("refused: nobody listens there", "sudo ufw allow proto tcp from 192.168.1.0/24"),
        ("No route to host", "sudo ufw allow proto tcp from 192.168.1.0/24"),
        ("another daemon answers there, which has no such object", "arping -D 192.168.1.21"),
        ("was not tried, because the registration came from another address", "run the name"),
        ("has a certificate of another CA", 'Daemon("192.168.1.21")'),
    ],
)
def test_objects_are_not_reached(why: str, mend: str) -> None:
    failing = replace(SEEN, hosts=(), failures=(f"192.168.1.21:4711: {why}",))
    found = only("objects", "wrong", visit=failing)
    assert found.text == (
        f"the name server does not reach objects of this machine at 192.168.1.21:4711: {why}"
    )
    assert mend in found.mend
    partly = replace(failing, hosts=("10.0.0.7:4711",))
    assert only("objects", "note", visit=partly).text == found.text


def test_an_object_is_not_even_registered() -> None:
    refused = Visit("127.0.0.1:4711", refused="127.0.0.1 cannot be reached from another machine")
    assert only("objects", "wrong", visit=refused).text == refused.refused
    assert "connect this machine" in only("objects", "wrong", visit=refused, cards=(LO,)).mend


def test_the_name_server_is_for_its_own_machine() -> None:
    found = only("objects", "note", visit=Visit("127.0.0.1:4711", ahead_s=0.0))
    assert "serves its own machine only" in found.text
    assert found.mend == "nameserver run --host 192.168.1.21 --identity CA CERTIFICATE KEY"


FAILING = replace(
    WELL,
    hearings=tuple(
        Hearing(replace(ETH, has_multicast=carries), heard, "why")
        for heard in get_args(Heard)
        for carries in (True, False)
        if heard != "heard"
    ),
    cards=(replace(ETH, state="down"),),
    now=0.0,
    visit=replace(SEEN, hosts=(), failures=("192.168.1.21:4711: timed out after 2 s",)),
)


@pytest.mark.parametrize("system", get_args(System))
@pytest.mark.parametrize("firewall", get_args(Firewall))
def test_each_system_has_commands_of_its_own(system: System, firewall: Firewall) -> None:
    findings = judge(replace(FAILING, system=system, firewall=firewall))
    mends = " ".join(finding.mend for finding in findings if finding.level == "wrong")
    foreign = {
        "linux": ("netsh", "socketfilterfw", "w32tm", "sntp"),
        "macos": ("netsh", "iptables", "ufw", "firewall-cmd", "timedatectl", "ip link"),
        "windows": ("sudo", "iptables", "ufw", "firewall-cmd"),
    }[system]
    assert not [word for word in foreign if word in mends]
    if system == "linux":
        own = {"ufw": "ufw allow", "firewalld": "firewall-cmd --permanent", "other": "iptables -I"}
        assert own[firewall] in mends


cards = st.builds(
    Card,
    st.sampled_from(["lo", "eth0", "docker0"]),
    st.sampled_from(["127.0.0.1", "192.168.1.21", "fd00::2", "169.254.1.1"]),
    st.integers(8, 24),
    st.sampled_from(get_args(Kind)),
    st.sampled_from(get_args(State)),
    st.sampled_from([True, False, None]),
    st.booleans(),
)
hearings = st.builds(Hearing, cards, st.sampled_from(get_args(Heard)), st.just("why"))
servers = st.one_of(
    st.builds(Found, st.just("a:1"), st.sampled_from(["given", "zeroconf"]), st.floats(0, 1)),
    st.builds(
        Missing,
        st.just("said"),
        st.booleans(),
        st.booleans(),
        st.sampled_from(["", "hall"]),
        st.just(9090),
        st.sampled_from(get_args(Dialled)),
    ),
)
visits = st.builds(
    Visit,
    st.just("192.168.1.21:4711"),
    st.just(""),
    st.sampled_from([(), ("192.168.1.21:4711",)]),
    st.sampled_from([(), ("192.168.1.21:4711: timed out",), ("odd",)]),
    st.sampled_from(["", "refused"]),
    st.one_of(st.none(), st.floats(-1e6, 1e6)),
)


@given(
    facts=st.builds(
        Facts,
        st.just("3.11.7"),
        st.just(()),
        st.floats(0, 4e9),
        st.sampled_from(get_args(System)),
        st.sampled_from(get_args(Firewall)),
        st.just("anna"),
        st.sampled_from([(), ("127.0.1.1",), ("192.168.1.21",), ("10.9.9.9",)]),
        st.lists(cards, max_size=3).map(tuple),
        st.sampled_from(["", "bad"]),
        st.lists(hearings, max_size=3).map(tuple),
        st.builds(Credentials, st.booleans(), st.sampled_from(["", "anna"])),
        servers,
        st.one_of(st.none(), visits),
    )
)
def test_whatever_is_wrong_can_be_mended_and_is_said_in_one_line(facts: Facts) -> None:
    for finding in judge(facts):
        assert finding.text
        assert finding.mend or finding.level != "wrong"
        assert "\n" not in finding.text + finding.mend
