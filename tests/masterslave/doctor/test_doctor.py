"""``masterslave doctor``, run for real: in order, and with things broken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from masterslave import Farm
from nameserver import NameServer
from remoteobj import Identity
from tests.certificates import Files
from tests.conftest import StartScript, eventually
from tests.masterslave.conftest import StartSlave

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are seen in /proc")

SCRIPT = """
from masterslave import Farm
with Farm("survey", local_slaves=0) as farm:
    print(farm.uri, flush=True)
    input()
"""


def ask(*arguments: str, **environment: str) -> tuple[int, list[dict[str, Any]]]:
    """Run the doctor; returns its exit code and findings."""
    done = subprocess.run(
        [sys.executable, "-m", "masterslave", "doctor", "--json", *arguments],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert told["is_well"] == (done.returncode == 0)
    return done.returncode, told["findings"]


def of(findings: list[dict[str, Any]], check: str, words: str) -> dict[str, Any]:
    """Return the finding that has these words; other slaves may run on this machine."""
    (found,) = [each for each in findings if each["check"] == check and words in each["text"]]
    return found


def test_a_farm_and_its_slave(start_slave: StartSlave) -> None:
    slave = start_slave("--slots", "1")
    with Farm("survey", local_slaves=0) as farm:
        eventually(lambda: farm.slaves, "the slave joins")
        code, findings = ask()
    assert of(findings, "farms", "farm 'survey'")["level"] == "ok"
    assert "serves farm 'survey'" in of(findings, "slaves", f"slave {slave.pid} ")["text"]
    assert code == 0, [each for each in findings if each["level"] == "wrong"]


def test_a_label_that_nobody_has_and_a_script_that_is_stopped(
    start_slave: StartSlave, start_script: StartScript
) -> None:
    slave, script = start_slave("surveys"), start_script("-c", SCRIPT)
    assert script.stdout is not None
    assert slave.stdout is not None
    script.stdout.readline()
    slave.stdout.readline()  # it looks
    os.kill(script.pid, signal.SIGSTOP)
    try:
        code, findings = ask()
    finally:
        os.kill(script.pid, signal.SIGCONT)
    assert code == 1
    assert of(findings, "farms", "was stopped")["mend"] == f"kill -CONT {script.pid}"
    mistyped = of(findings, "slaves", f"slave {slave.pid} ")
    assert "there is only 'survey'" in mistyped["text"]
    assert mistyped["mend"] == "masterslave slave survey"


def test_a_directory_that_is_open_to_others_and_few_files(own_machine: Path) -> None:
    folder = own_machine / "open" / "remoteobj"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", f"ulimit -n 100; exec '{sys.executable}' -m masterslave doctor"],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder.parent)},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert f"wrong  directory    {folder} is not a directory of this user alone" in done.stdout
    assert "wrong  limits       100 files may be open" in done.stdout
    assert done.stdout.endswith("2 things are wrong\n")


def test_a_name_server_whose_farm_is_gone_and_an_identity_that_is_none(
    cluster: dict[str, Files], identity: Identity, start_script: StartScript
) -> None:
    files = [str(each) for each in cluster["slave"]]
    with NameServer("127.0.0.1", identity=identity) as server:
        server.start()
        where = ("--nameserver", server.address, "--identity", *files)
        with Farm("survey", host="127.0.0.1", identity=identity, nameserver=server.address,
                  local_slaves=0) as farm:  # fmt: skip
            eventually(lambda: farm._ground.servers, "the farm is registered")
            _, findings = ask(*where, XDG_RUNTIME_DIR=os.environ["XDG_RUNTIME_DIR"] + "/other")
        assert of(findings, "name server", "answers")["level"] == "ok"
        assert of(findings, "farms", "farm 'survey'")["level"] == "ok"
    code, findings = ask("--nameserver", server.address, "--identity", files[0], files[1], files[0])
    assert code == 1
    assert of(findings, "identity", "")["level"] == "wrong"
    assert of(findings, "name server", "")["mend"] == "nameserver doctor"


def test_it_may_have_no_standard_output() -> None:
    command = f"exec '{sys.executable}' -m masterslave doctor >&-"
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.stderr, done.returncode in (0, 1)) == (b"", True)
