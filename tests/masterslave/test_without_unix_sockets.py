"""Farm, slaves and names on a system without Unix sockets: in processes that find none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import loopback
from tests.conftest import StartScript, eventually

SCRIPT = """
import os, socket, sys
from masterslave import Farm
from remoteobj import Daemon, Proxy, current_caller, expose

assert not hasattr(socket, "AF_UNIX")

@expose
class Desk:
    def who(self):
        return current_caller().role

def square(number):
    return number * number

def size_of(data):
    return len(data), os.getpid()

def ask(uri):
    return Proxy(uri).who()

with Farm("pictures", local_slaves=2) as farm, Daemon() as daemon:
    uri = daemon.register(Desk(), "desk")
    daemon.start()
    assert list(farm.map(square, range(500))) == [n * n for n in range(500)]
    assert [farm.submit(square, n).result(20) for n in range(50)] == [n * n for n in range(50)]
    data = farm.share(bytes(3_000_000))
    assert {farm.submit(size_of, data).result(20)[0] for _ in range(4)} == {3_000_000}
    assert farm.submit(ask, str(uri)).result(20) == "operator"
    print("ready", flush=True)
    sys.stdin.readline()
    names = [slave.name for slave in farm.slaves]
    print(*sorted(names), flush=True)
    if "guest" in names:
        print({farm.options(on="guest").submit(os.getpid).result(20)}, flush=True)
    sys.stdin.readline()
print("over", flush=True)
"""


@pytest.fixture(autouse=True)
def _no_unix_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", loopback.python_path())


def told(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, process.communicate()[1]
    return line


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_farm_runs_tasks_on_its_own_slaves_and_on_one_that_finds_it(
    start_script: StartScript, own_machine: Path
) -> None:
    script = start_script("-c", SCRIPT)
    assert says(script) == "ready"
    places = list((own_machine / "remoteobj").glob("*.sock"))
    assert places
    assert all(place.is_file() for place in places)
    assert "pictures" in told("masterslave", "list")
    slave = start_script(
        "-m", "masterslave", "slave", "pictures", "--slots", "1", "--name", "guest"
    )
    eventually(lambda: "guest" in told("masterslave", "show", "pictures"), "it joins", 30.0)
    go_on(script)
    assert "guest" in says(script)
    assert int(says(script).strip("{}")) > 0
    assert "pictures" in told("masterslave", "who")
    assert "and ends" in told("masterslave", "drain", "guest")  # by its desk
    assert slave.wait(20) == 0
    go_on(script)
    assert says(script) == "over"
    assert script.wait(20) == 0


def test_names_of_this_machine_lead_to_loopback(start_script: StartScript) -> None:
    code = loopback.SERVE.replace(
        "daemon.start()",
        "daemon.start()\n"
        "from nameserver import Directory\n"
        "names = Directory()\n"
        "names.register('lab.desk', daemon.uri_of('desk'))\n"
        "print('named', flush=True)",
    )
    process = start_script("-c", code)
    assert "./u:" in says(process)
    assert says(process) == "named"
    assert "lab.desk" in told("nameserver", "list")
    asking = (
        "import nameserver; from remoteobj import Proxy; print(Proxy('PYRONAME:lab.desk').pid())"
    )
    asked = subprocess.run(
        [sys.executable, "-c", asking], capture_output=True, text=True, timeout=30, check=True
    )
    assert int(asked.stdout) == process.pid
    process.communicate(timeout=20)
