"""What an agent and a child have in memory for days: nothing of the script's side, and no module
that only a command line, a server or a report needs. Each of these is some 0.2 to 2 MiB.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from masterslave import Farm
from tests.conftest import eventually

pytestmark = pytest.mark.serial

SERVERS = {"nameserver.server", "sqlite3", "zeroconf", "cryptography", "ssl", "Pyro5", "serpent"}
OTHERS = {"asyncio", "email", "http", "importlib.metadata", "multiprocessing", "rich", "unittest"}
SCRIPTS = {
    "masterslave.farm.farm",
    "masterslave.master",
    "masterslave.pool",
    "masterslave.patterns",
}
COMMANDS = {"masterslave.cli.doctor", "masterslave.cli.farms", "masterslave.cli.run"}
AGENT = SERVERS | OTHERS | SCRIPTS | COMMANDS | {"masterslave.scheduler", "cloudpickle", "numpy"}
CHILD = (AGENT - {"cloudpickle"}) | {
    "masterslave",
    "nameserver",
    "remoteobj",
    "click",
    "pathlib",
    "subprocess",
}
CHILD |= {"tempfile", "shutil", "random", "hashlib", "json"}

TELLING = """
import sys
if "slave" in sys.argv or "agent.py" in "".join(sys.orig_argv):
    import os, signal
    def tell(number, frame):
        with open({folder!r} + "/new", "w") as file:
            file.write("\\n".join(sys.modules))
        os.replace(file.name, {folder!r} + "/told")
    signal.signal(signal.SIGUSR1, tell)
"""


def modules_of_a_child(farm: Farm) -> set[str]:
    return set(farm.submit(eval, "[*__import__('sys').modules]").result(timeout=20))


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have each agent write down what it has imported, when it is asked by a signal."""
    (tmp_path / "sitecustomize.py").write_text(TELLING.format(folder=str(tmp_path)))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.getcwd()}")
    return tmp_path


def modules_of_an_agent(farm: Farm, folder: Path) -> set[str]:
    (slave,) = farm.slaves
    os.kill(slave.pid, signal.SIGUSR1)
    told = folder / "told"
    eventually(told.exists, "the agent tells what it has imported")
    return set(told.read_text().split())


def test_a_local_slave(own_machine: object, told: Path) -> None:
    with Farm(local_slaves=1) as farm:
        assert not modules_of_a_child(farm) & CHILD
        found = modules_of_an_agent(farm, told)
    assert "remoteobj" in found
    assert not found & (AGENT | {"click", "nameserver"})


def test_a_slave_from_the_command_line(own_machine: object, told: Path) -> None:
    command = [sys.executable, "-m", "masterslave", "slave", "--local", "--slots", "1", "lean"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as slave, Farm("lean") as farm:
        assert not modules_of_a_child(farm) & CHILD
        found = modules_of_an_agent(farm, told)
        slave.terminate()
    assert "masterslave.cli.slave" in found
    assert not found & AGENT
