"""Where a farm makes itself known, and how slaves and people find it there."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from masterslave import Farm
from masterslave.naming import PREFIX
from nameserver import Directory, NameServer, NameServerClient
from remoteobj import InsecureWarning
from tests.conftest import StartScript, eventually

pytestmark = pytest.mark.serial


@pytest.fixture
def server() -> Iterator[NameServer]:
    """A name server on loopback that is not announced, so that no other test meets it."""
    with pytest.warns(InsecureWarning):
        running = NameServer("127.0.0.1", insecure=True, announce=False)
    with running:
        yield running


def farms_at(server: NameServer) -> list[str]:
    with NameServerClient(server.address, insecure=True, quiet=True) as names:
        return [record.name.split(".")[1] for record in names.list("masterslave.")]


def test_a_farm_registers_where_the_environment_says(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMOTEOBJ_NAMESERVER", server.address)
    with Farm("test", local_slaves=0, insecure=True):
        eventually(lambda: farms_at(server) == ["test"], "the farm registers")
        with Directory() as names:
            assert len(names.list("masterslave.test.")) == 1, "and in the directory"
    assert farms_at(server) == []


def test_a_farm_can_be_kept_from_it(
    server: NameServer, monkeypatch: pytest.MonkeyPatch, own_machine: Path
) -> None:
    monkeypatch.setenv("REMOTEOBJ_NAMESERVER", server.address)
    with (
        Farm("quiet", local_slaves=0, nameserver=False),
        Farm("loud", local_slaves=0, nameserver=server.address, insecure=True),
    ):
        eventually(lambda: farms_at(server) == ["loud"], "one registers")
    assert farms_at(server) == []


def test_a_slave_with_other_directories_finds_it_by_the_name_server(
    server: NameServer, start_script: StartScript, own_machine: Path
) -> None:
    elsewhere = own_machine / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    command = ("-m", "masterslave", "slave", "test", "--nameserver", server.address, "--insecure")
    start_script(*command, "--slots", "1", XDG_RUNTIME_DIR=str(elsewhere))
    with Farm("test", local_slaves=0, nameserver=server.address, insecure=True) as farm:
        assert farm.submit(os.getpid).result(timeout=15) != os.getpid()
        (slave,) = farm.slaves
        assert slave.slots == 1


SCRIPT_WITH_A_FARM = """
import sys, time
from masterslave import Farm
from masterslave.naming import PREFIX
sys.stdin.readline()
with Farm("trio", local_slaves=0, insecure=len(sys.argv) > 1) as farm:
    print("ready", flush=True)
    print(farm.submit(pow, 2, 10).result(timeout=20), flush=True)
    sys.stdin.readline()
"""


def test_three_scripts_at_once_and_one_survives(
    start_script: StartScript, own_machine: Path
) -> None:
    scripts = [start_script("-c", SCRIPT_WITH_A_FARM) for _ in range(3)]
    for script in scripts:
        assert script.stdin is not None
        script.stdin.write("go\n")
        script.stdin.flush()
    for script in scripts:
        assert script.stdout is not None
        assert script.stdout.readline() == "ready\n"
    with Directory() as directory:
        assert {record.pid for record in directory.list()} == {script.pid for script in scripts}
        *victims, survivor = scripts
        for victim in victims:
            victim.kill()
            victim.wait()
        begin = time.monotonic()
        assert [record.pid for record in directory.list()] == [survivor.pid]
        assert time.monotonic() - begin < 1.0
        assert len(list((own_machine / "remoteobj" / "names").glob("*.json"))) == 1
        begin = time.monotonic()
        start_script("-m", "masterslave", "slave", "trio", "--slots", "1", "--local")
        assert survivor.stdout is not None
        assert survivor.stdout.readline() == "1024\n"
        assert time.monotonic() - begin < 2.0
    survivor.communicate("end\n", timeout=10)
    assert survivor.returncode == 0
    with Directory() as directory:
        assert not directory.list(PREFIX), "but for the slave, which waits for the next farm"


def test_a_slave_serves_a_farm_of_this_machine_and_one_of_the_network(
    server: NameServer,
    start_script: StartScript,
    own_machine: Path,
) -> None:
    elsewhere = own_machine / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    near = start_script("-c", SCRIPT_WITH_A_FARM)
    far = start_script(
        "-c",
        SCRIPT_WITH_A_FARM,
        "insecure",
        XDG_RUNTIME_DIR=str(elsewhere),
        REMOTEOBJ_NAMESERVER=server.address,
    )
    start_script(
        *("-m", "masterslave", "slave", "trio", "--slots", "1"),
        *("--nameserver", server.address, "--insecure"),
    )
    for script in (near, far):
        output, errors = script.communicate("go\nend\n", timeout=20)
        assert output == "ready\n1024\n", errors
