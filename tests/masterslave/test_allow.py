"""Slaves that choose whose tasks they run, and who is told so; ``masterslave who``."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from masterslave import Farm
from masterslave.cli import main_group
from masterslave.naming import FarmRecord
from masterslave.protocol.joining import VERSION, Introduction
from masterslave.slave.link import Link
from masterslave.slave.whose import THIS_USER, Allowed, Owner, Refusals, Refused, owner_at
from masterslave.slave.workshop import Workshop
from nameserver import NameServer
from remoteobj import URI, ConnectionLost, Daemon, Identity, InsecureWarning, PeerRefused
from tests.certificates import Files
from tests.conftest import StartScript, eventually
from tests.masterslave.conftest import StartSlave
from tests.masterslave.test_command_line import hang_until, line_with

HALL = Owner("00000000000000aa", "Hall")


def masterslave(*arguments: str) -> str:
    """Run a command in this process; returns what it prints, in one line."""
    done = CliRunner().invoke(main_group, arguments)
    return " ".join(done.output.split())


def who() -> Any:
    """Return what ``masterslave who --json`` tells."""
    return json.loads(masterslave("who", "--json"))


@pytest.mark.parametrize(
    ("names", "is_local", "is_hall"),
    [
        ((), True, True),
        (("local",), True, False),
        (("hall",), False, True),
        (("00000000000000aa",), False, True),
        (("00000000000000ab", "hal", "hall2"), False, False),
        (("local", "HALL"), True, True),
    ],
)
def test_whom_names_allow(names: tuple[str, ...], is_local: bool, is_hall: bool) -> None:
    assert Allowed(names).includes(THIS_USER) is is_local
    assert Allowed(names).includes(HALL) is is_hall


def test_a_machine_called_local_is_not_this_user() -> None:
    assert not Allowed(["local"]).includes(Owner("00000000000000aa", "local"))
    assert not Allowed(["hall"]).includes(Owner("", "hall"))


def test_a_refused_farm_is_told_of_while_it_is_there() -> None:
    farm = FarmRecord("film", "1234", URI("PYRO:x@10.0.0.5:9"), "hall", 1, "x.py")
    here = FarmRecord("film", "1234", URI("PYRO:x@./u:/tmp/x.sock"), "hall", 1, "x.py")
    refusals = Refusals()
    assert not refusals.has(farm, 0.0)
    refusals.add(Refused(farm, HALL), 0.0)
    assert refusals.has(farm, 4.0)
    assert not refusals.has(here, 4.0), "at its socket it is another's"
    assert list(map(str, refusals.now(8.0))) == ["film of Hall (node 00000000000000aa)"]
    assert refusals.now(10.0) == ()


def test_a_farm_that_is_not_allowed_hears_why(start_script: StartScript) -> None:
    nowhere = ("--nameserver", "127.0.0.1:9")
    with Farm("ours", local_slaves=0) as farm:
        waiting = farm.submit(os.getpid)
        slave = start_script(
            "-m", "masterslave", "slave", "--slots", "1", *nowhere, "--allow", "hall",
            "--name", "box",
        )  # fmt: skip
        said = line_with(slave, "is not served")
        assert "it is of this machine's own user, and --allow names hall" in said
        assert "does not serve ours of this user (--allow)" in line_with(slave, "does not serve")
        eventually(lambda: "box" in farm.why_waiting(), "the farm is told")
        assert farm.why_waiting() == (
            "1 task waits: slaves were seen, but refused: box at this machine: it runs tasks of "
            "some machines only (--allow), and none of this machine's own user"
        )
        (seen,) = who()
        assert (seen["name"], seen["allow"], seen["farms"]) == ("box", ["hall"], [])
        assert [one["label"] for one in seen["refused"]] == ["ours"]
        assert "not served (--allow)" in masterslave("who")
        assert "not ours (--allow)" in masterslave("list", "--slaves")
        assert "--allow hall" in masterslave("doctor")
        assert waiting.cancel()


def test_who_tells_whose_tasks_run(start_slave: StartSlave, tmp_path: Path) -> None:
    assert masterslave("who") == "no slave of this user runs here: nobody's tasks do"
    go, started = tmp_path / "go", tmp_path / "started"
    slave = start_slave("--slots", "2", "--name", "box", "--allow", "local")
    line_with(slave, "looks for any farm of local only")
    eventually(lambda: "no farm now" in masterslave("who"), "it is told of")
    before = time.time()
    with Farm("mine", local_slaves=0) as farm:
        assert farm.submit(abs, -1).result(20) == 1
        running = farm.submit(hang_until, go, started)
        eventually(started.exists, "the task runs")
        (seen,) = who()
        (mine,) = seen.pop("farms")
        assert seen == {
            "name": "box", "pid": slave.pid, "slots": 2, "is_own": False, "only": None,
            "allow": ["local"], "refused": [],
        }  # fmt: skip
        assert (mine["label"], mine["pid"], mine["node"]) == ("mine", os.getpid(), "")
        assert (mine["running"], mine["done"]) == (1, 1)
        assert before - 1 < mine["since"] < time.time()
        assert "mine" in masterslave("who")
        assert "this user" in masterslave("who")
        go.touch()
        assert running.result(20) == "finished"


def test_who_tells_of_a_farms_own_slaves() -> None:
    with Farm("own", local_slaves=1) as farm:
        assert farm.submit(abs, -1).result(20) == 1
        (seen,) = who()
        assert seen["is_own"]
        assert [one["label"] for one in seen["farms"]] == ["own"]
        assert "own" in masterslave("who")


@pytest.mark.parametrize("by", ["name", "node"])
def test_machines_are_known_by_their_certificate(
    by: str, identity: Identity, cluster: dict[str, Files], start_script: StartScript,
    own_machine: Path,
) -> None:  # fmt: skip
    elsewhere = own_machine / "elsewhere"
    elsewhere.mkdir(mode=0o700, exist_ok=True)
    security = ("--identity", *map(str, cluster["slave"]))
    with (
        NameServer("127.0.0.1", identity=identity, announce=False) as server,
        Farm(
            "test", local_slaves=0, host="127.0.0.1", identity=identity, nameserver=server.address
        ) as farm,
    ):
        owner = owner_at(farm.uri, identity)
        assert owner.name == identity.subject
        command = ("-m", "masterslave", "slave", "--slots", "1", "--nameserver", server.address)
        where = {"XDG_RUNTIME_DIR": str(elsewhere)}
        stranger = start_script(*command, *security, "--name", "no", "--allow", "other", **where)
        assert f"it is of {owner}" in line_with(stranger, "is not served")
        assert f"test of {owner} (--allow)" in line_with(stranger, "does not serve")
        allowed = owner.name.upper() if by == "name" else owner.node
        slave = start_script(*command, *security, "--name", "yes", "--allow", allowed, **where)
        assert f" on {owner} in the name server" in line_with(slave, "found farm")
        assert farm.submit(abs, -1).result(20) == 1
        assert [one.name for one in farm.slaves] == ["yes"]
        waiting = farm.options(on="no").submit(abs, -1)
        eventually(
            lambda: any("some machines only" in one.reason for one in _refused(farm)), "told"
        )
        assert waiting.cancel()


def test_who_has_proven_it_once_has_to_be_the_same_then(identity: Identity) -> None:
    """Somebody else of the cluster may have taken the address meanwhile."""
    workshop = Workshop(1)
    with Farm("test", local_slaves=0, host="127.0.0.1", identity=identity) as farm:
        me = Introduction(VERSION, "box", "here", 1, 1, sys.version_info[:2])
        link = Link(
            farm.uri, workshop, me, patience_s=5, identity=identity, report=print, node=HALL.node
        )
        assert "refuses this slave, or is refused by it" in link.run()
        assert not farm.former_slaves, "it has not joined"


def _refused(farm: Farm) -> Any:
    ground: Any = farm._ground
    return ground._watchman._refused


def test_who_answers_has_to_prove_it(
    identity: Identity, foreign: Files, cluster: dict[str, Files]
) -> None:
    with pytest.raises(PeerRefused, match="without an identity"):
        owner_at(URI("PYRO:x@127.0.0.1:9"), None)
    with pytest.raises(ConnectionLost, match=r"127\.0\.0\.1:9 did not say who it is"):
        owner_at(URI("PYRO:x@127.0.0.1:9"), identity)
    assert owner_at(URI("PYRO:x@./u:/tmp/x.sock"), None) is THIS_USER
    with Daemon("127.0.0.1", identity=Identity.from_files(*foreign)) as other:
        other.start()
        with pytest.raises(PeerRefused, match="is not of this cluster"):
            owner_at(URI(f"PYRO:x@{other.location}"), identity)
    with pytest.warns(InsecureWarning):
        plain = Daemon("127.0.0.1", insecure=True)
    with plain:
        plain.start()
        with pytest.raises(ConnectionLost):
            owner_at(URI(f"PYRO:x@{plain.location}"), identity)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--allow", " "], "--allow takes the name of a machine, its node id, or 'local'"),
        (["--local", "--allow", "hall"], "give --allow local, too"),
        (["--allow", "hall, anna"], "may be given again: --allow hall --allow anna"),
        (["--allow", "192.168.1.20"], "is an address, which proves nothing"),
        (["--allow", "192.168.1.20:9090"], "is an address, which proves nothing"),
        (["--allow", "fe80::1"], "is an address, which proves nothing"),
    ],
)
def test_what_makes_no_sense_is_refused(options: list[str], said: str) -> None:
    done = CliRunner().invoke(main_group, ["slave", *options])
    assert done.exit_code == 2
    assert said in done.output
