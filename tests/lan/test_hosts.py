"""The hosts themselves: apart from each other, from the machine, and gone at the end."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.lan.hosts import Lan, ip

PING = "import socket, sys; socket.create_connection((sys.argv[1], 7), 2)"


def is_dead(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"  # its parent, the system, has not asked for its exit code yet


def test_hosts_have_names_directories_and_addresses_of_their_own() -> None:
    before = ip("link"), ip("address"), ip("route")
    with Lan("anna", "ben") as lan:
        show = ["sh", "-c", "hostname; echo $XDG_RUNTIME_DIR $XDG_CONFIG_HOME; ip -br address"]
        anna, ben = (lan[name].run(show).splitlines() for name in ("anna", "ben"))
        assert (anna[0], ben[0]) == ("anna", "ben")
        assert not set(anna[1].split()) & set(ben[1].split())
        assert "10.77.0.1/24" in " ".join(anna[2:])
        assert "10.77.0.2/24" in " ".join(ben[2:])
        assert before == (ip("link"), ip("address"), ip("route"))
        assert os.uname().nodename not in ("anna", "ben")


def test_a_cut_host_cannot_be_reached_until_it_is_mended() -> None:
    listen = (
        "import socket; s = socket.create_server(('10.77.0.2', 7))\n"
        "print('listening')\nwhile True: s.accept()[0].close()"
    )
    with Lan("anna", "ben") as lan:
        lan["ben"].python("-c", listen).wait_for("listening")
        assert lan["anna"].python("-c", PING, "10.77.0.2").wait() == 0
        lan["ben"].cut()
        assert lan["anna"].python("-c", PING, "10.77.0.2").wait() == 1
        lan["ben"].mend()
        assert lan["anna"].python("-c", PING, "10.77.0.2").wait() == 0


def test_nothing_is_left_after_a_failure() -> None:
    lan = Lan("anna")

    def fail() -> None:
        with lan:
            lan["anna"].popen(["sleep", "600"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert lan.leftovers() == []
    assert [running.process.returncode for running in lan.started] == [-9]


def test_a_process_that_outlives_its_parent_is_killed_and_told() -> None:
    lan = Lan("anna")
    lan.patience_s = 0.2

    def leave_one_behind() -> None:
        with lan:
            detach = "sleep 601 </dev/null >/dev/null 2>&1 & echo $!"
            escaped.append(int(lan["anna"].run(["setsid", "sh", "-c", detach])))

    escaped: list[int] = []
    with pytest.raises(AssertionError, match=r"outlived .* it.*sleep 601"):
        leave_one_behind()
    assert is_dead(escaped[0])
    assert lan.leftovers() == []


def test_a_wait_tells_what_the_process_said_instead() -> None:
    with Lan("anna") as lan:
        talker = lan["anna"].popen(["echo", "something else"])
        with pytest.raises(AssertionError, match="it ended before 'ready'") as caught:
            talker.wait_for("ready")
        assert "something else" in str(caught.value)


def test_the_environment_of_the_machine_does_not_reach_the_hosts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REMOTEOBJ_NAMESERVER", "192.0.2.1:1")
    with Lan("anna") as lan:
        assert "192.0.2.1" not in lan["anna"].run(["env"])
        with pytest.raises(subprocess.TimeoutExpired):
            lan["anna"].run(["sleep", "9"], timeout_s=0.1)
