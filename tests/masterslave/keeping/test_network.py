"""Masters of a kept farm that a name server tells of, and slaves that reach them over TLS."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from masterslave.protocol.hand_outs import RUN_BITS
from nameserver import NameServer
from remoteobj import Identity
from tests.certificates import Files
from tests.conftest import StartScript, eventually
from tests.masterslave.keeping.masters import StartMaster
from tests.masterslave.keeping.test_masters import begun, hang, values
from tests.masterslave.test_command_line import line_with

FIRST = 1 << RUN_BITS


@pytest.fixture
def network(identity: Identity, cluster: dict[str, Files]) -> Iterator[dict[str, Any]]:
    """A name server of the cluster, and what a master needs to be listed there."""
    with NameServer("127.0.0.1", identity=identity, announce=False) as server:
        files = [str(path) for path in cluster["master"]]
        yield {"identity": files, "host": "127.0.0.1", "nameserver": server.address}


@pytest.fixture
def slave(
    network: dict[str, Any],
    cluster: dict[str, Files],
    start_script: StartScript,
    own_machine: Path,
) -> subprocess.Popen[str]:
    """A slave of another user's directory: it finds farms at the name server only."""
    folder = own_machine / "elsewhere"
    folder.mkdir(mode=0o700)
    started = start_script(
        "-m", "masterslave", "slave", "kept", "--slots", "2", "--nameserver", network["nameserver"],
        "--identity", *map(str, cluster["slave"]), XDG_RUNTIME_DIR=str(folder),
    )  # fmt: skip
    line_with(started, "looks for")
    return started


def test_the_next_master_is_found_at_the_name_server(
    start_master: StartMaster,
    network: dict[str, Any],
    slave: subprocess.Popen[str],
    tmp_path: Path,
) -> None:
    path, gate = tmp_path / "ran", tmp_path / "gate"
    first = start_master(1, lease_s=120.0, **network)
    hang(first, path, gate)
    first.kill()
    line_with(slave, "kept for")
    second = start_master(2, **network)
    second.eventually("farm.slaves", "the slave joins, though the first is still listed")
    gate.touch()
    assert values(second, 1) == {FIRST: "ran"}
    second.kill()
    third = start_master(3, **network)
    assert third.ask("farm.submit(abs, -7).result(timeout=20)") == 7


def test_a_master_that_is_stopped_is_left_for_the_next_over_tls(
    start_master: StartMaster,
    network: dict[str, Any],
    slave: subprocess.Popen[str],
    tmp_path: Path,
) -> None:
    path, gate, first = tmp_path / "ran", tmp_path / "gate", start_master(1, **network)
    hang(first, path, gate)
    os.kill(first.process.pid, signal.SIGSTOP)
    second = start_master(2, **network)
    second.eventually("farm.slaves", "the slave comes over")
    gate.touch()
    assert values(second, 1) == {FIRST: "ran"}


def test_what_the_slave_has_fetched_is_there_for_tasks_that_waited(
    start_master: StartMaster,
    network: dict[str, Any],
    slave: subprocess.Popen[str],
    tmp_path: Path,
) -> None:
    path, gate, first = tmp_path / "ran", tmp_path / "gate", start_master(1, **network)
    first.do("from tests.masterslave.keeping.ahead import weigh")
    first.do("shared = farm.share(bytes([1]) * 1_000_000)")
    first.do(f"args = {str(path)!r}, {str(gate)!r}")
    first.do("futures = [farm.submit(weigh, shared, *args) for _ in range(2)]")
    eventually(lambda: begun(path)() and path.read_text().count("began") == 2, "both run", 20.0)
    first.kill()
    line_with(slave, "kept for")
    second = start_master(2, **network)
    gate.touch()
    assert values(second, 2) == {FIRST: 1_000_000, FIRST + 1: 1_000_000}
