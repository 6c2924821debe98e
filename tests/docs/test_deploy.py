"""What docs/deploy starts is started: its units, and a room behind a stand-in for ssh."""

from __future__ import annotations

import os
import plistlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nameserver import NameServer
from remoteobj import Identity
from remoteobj.identity.store import Store
from tests.conftest import PATIENCE_S, StartScript, eventually
from tests.nameserver.pairing.halls import Hall
from tests.pairing import Pairing

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
PROGRAMS = {
    "slave": "/opt/remoteobj/bin/masterslave",
    "nameserver": "/opt/remoteobj/bin/nameserver",
}
UNITS = ("slave.service", "slave-of-a-user.service", "nameserver.service")
NOWHERE = {"REMOTEOBJ_NAMESERVER": "127.0.0.1:1"}


def program_of(file: str) -> str:
    return PROGRAMS["nameserver" if "nameserver" in file else "slave"]


def command_of(file: str) -> list[str]:
    """Return what a unit or a property list starts."""
    if file.endswith(".plist"):
        program, *words = plistlib.loads((DEPLOY / file).read_bytes())["ProgramArguments"]
    else:
        text = (DEPLOY / file).read_text(encoding="utf-8")
        program, *words = shlex.split(re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)[0])
    assert program == program_of(file)
    return [str(word) for word in words]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test may write."""
    for name, value in NOWHERE.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def hall(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hall]:
    """A name server with the authority of "lab"; this process is its operator."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "hall"))
    Pairing("lab", folder / "hall")
    with NameServer("127.0.0.1", announce=False, join_port=0) as server:
        yield Hall(Identity.stored(), server)


@pytest.mark.parametrize(
    "file", ["slave.service", "slave-of-a-user.service", "remoteobj.slave.plist"]
)
def test_each_slave_starts_and_ends_as_its_system_ends_it(
    file: str, folder: Path, start_script: StartScript
) -> None:
    Pairing("lab", folder / "hall").pair(folder / "config", "anna", "slave")
    slave = start_script(
        "-u", "-m", "masterslave", *command_of(file), XDG_CONFIG_HOME=str(folder / "config")
    )
    assert slave.stdout is not None
    assert slave.stdin is not None
    slave.stdin.close()  # there is nothing to read where such programs are started
    slave.stdin = None
    assert "looks for any farm" in slave.stdout.readline()
    ending = signal.SIGTERM if file.endswith(".plist") else signal.SIGINT
    slave.send_signal(ending)
    slave.communicate(timeout=PATIENCE_S)
    assert slave.returncode == (
        0 if ending == signal.SIGTERM else 130
    )  # the unit counts 130 as well


def test_the_slaves_unit_joins_by_a_file_that_is_deleted_then(
    hall: Hall, folder: Path, start_script: StartScript
) -> None:
    unit = (DEPLOY / "slave.service").read_text(encoding="utf-8")
    assert "EnvironmentFile=-/etc/masterslave/join\n" in unit, "which may be missing"
    environment = {"XDG_CONFIG_HOME": str(folder / "anna")}
    for more in ({"REMOTEOBJ_JOIN": hall.token()}, {}):
        slave = start_script(
            "-u", "-m", "masterslave", *command_of("slave.service"), **environment, **more
        )
        assert slave.stdin is not None
        assert slave.stdout is not None
        slave.stdin.close()
        slave.stdin = None
        lines = iter(slave.stdout.readline, "")
        assert next(line for line in lines if "looks for any farm" in line)
        slave.send_signal(signal.SIGINT)
        slave.communicate(timeout=PATIENCE_S)
    assert [(each["role"], each["state"]) for each in hall.members()[1:]] == [("slave", "member")]


@pytest.mark.parametrize("file", ["nameserver.service", "remoteobj.nameserver.plist"])
def test_each_name_server_founds_a_cluster(
    file: str, folder: Path, start_script: StartScript
) -> None:
    words = [word.replace("9090", "0") for word in command_of(file)]
    words = [str(folder / "names.db") if word.endswith("/names.db") else word for word in words]
    config = folder / "config"
    server = start_script("-u", "-m", "nameserver", *words, XDG_CONFIG_HOME=str(config))
    assert server.stdout is not None
    assert "name server at" in server.stdout.readline()
    assert "founded the cluster 'default'" in server.stdout.readline()
    server.send_signal(signal.SIGTERM)
    server.communicate(timeout=PATIENCE_S)
    assert server.returncode == 0
    assert Store(config / "remoteobj" / "clusters" / "default").has_authority


@pytest.mark.parametrize("file", [file.name for file in DEPLOY.iterdir()])
def test_nothing_names_a_key_or_a_secret(file: str) -> None:
    text = (DEPLOY / file).read_text(encoding="utf-8")
    assert not re.search(r"\.key\b|rj1-[A-Za-z0-9]", text)
    for line in text.splitlines():
        if line.startswith(("ExecStart", "Environment=")) or "<string>" in line:
            assert "JOIN" not in line
            assert "token" not in line


@pytest.mark.parametrize("file", UNITS)
def test_systemd_takes_the_units(file: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / file
    text = (DEPLOY / file).read_text(encoding="utf-8")
    started = f"ExecStart={program_of(file)}"
    assert text.count(started) == 1
    unit.write_text(text.replace(started, f"ExecStart={sys.executable}"), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert not [line for line in done.stderr.splitlines() if file in line], done.stderr


SSH = """#!/bin/sh
# Stands for ssh: a host is a home directory here, and one that has none is off.
while [ "$1" = -o ]; do shift 2; done
cd "$ROOM/$1" 2> /dev/null || { echo "ssh: connect to host $1: No route to host" >&2; exit 255; }
HOME="$ROOM/$1" exec sh -c "$2"
"""


@pytest.fixture
def room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two machines on which all is installed, one without, and one that is off."""
    for host in ("anna", "ben", "new"):
        (folder / host).mkdir()
    for host in ("anna", "ben"):
        home = folder / host / ".remoteobj"
        (home / "bin").mkdir(parents=True)
        for name in ("masterslave", "nameserver"):
            program = home / "bin" / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable} -m {name} "$@"\n')
            program.chmod(0o755)
    tools = folder / "tools"
    tools.mkdir()
    (tools / "ssh").write_text(SSH)
    (tools / "ssh").chmod(0o755)
    (folder / "room.txt").write_text("# the room\nanna\nben\n\nnew\noff\n")
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ROOM", str(folder))
    monkeypatch.setenv("OPTIONS", "lesson --slots 1")
    monkeypatch.setenv("PYTHONPATH", str(DEPLOY.parents[1]))
    return folder


def classroom(folder: Path, verb: str) -> tuple[int, dict[str, str]]:
    """Run the script; returns its exit code, and what it says of each host."""
    done = subprocess.run(
        ["sh", str(DEPLOY / "classroom.sh"), "room.txt", verb],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said: dict[str, str] = {}
    for line in done.stdout.splitlines():
        host, colon, text = line.partition(": ")
        if colon and host in ("anna", "ben", "new", "off"):
            said[host] = text
    return done.returncode, said


def test_a_room_is_started_looked_at_and_stopped(room: Path) -> None:
    try:
        code, said = classroom(room, "start")
        assert code == 1, "one is off, and one has nothing"
        assert (said["anna"], said["ben"]) == ("started", "started")
        assert said["new"].startswith("FAILED: ")
        assert said["off"] == "FAILED: ssh: connect to host off: No route to host"
        _, said = classroom(room, "start")
        assert said["ben"] == "runs already"
        _, said = classroom(room, "status")
        assert said["anna"].startswith("runs: ")
        log = room / "anna" / ".remoteobj" / "slave.log"
        eventually(lambda: "looks for farm 'lesson'" in log.read_text(), "its first words")
    finally:
        _, said = classroom(room, "stop")
    assert (said["anna"], said["ben"], said["new"]) == ("stopped", "stopped", "does not run")


def test_each_machine_of_a_room_joins_with_the_one_token(hall: Hall, room: Path) -> None:
    """What pip does is left out: the machine's Python is a stand-in that notes what it is asked."""
    (room / "remoteobj_farm-0.wheel.whl").touch()
    stand_in = room / "tools" / "python3"
    stand_in.write_text('#!/bin/sh\necho "$@" > asked\nls wheels > wheels.txt\n')
    stand_in.chmod(0o755)
    for host in ("anna", "ben"):
        pip = room / host / ".remoteobj" / "bin" / "pip"
        pip.write_text('#!/bin/sh\necho "$@" >> pip.txt\n')
        pip.chmod(0o755)
    (room / "room.txt").write_text("anna\nben\n")
    code, said = classroom(room, "install")
    assert code == 2, "there is no token yet"
    (room / "token.txt").write_text(hall.token("--uses", "2") + "\n")
    code, said = classroom(room, "install")
    assert code == 0, said
    assert [line.partition(" ")[0] for line in said.values()] == ["joined", "joined"]
    names = {(each["name"], each["role"]) for each in hall.members()}
    assert names == {("hall", "operator"), ("anna", "slave"), ("ben", "slave")}
    nodes = set()
    for host in ("anna", "ben"):
        home = room / host / ".remoteobj"
        assert (home / "wheels.txt").read_text() == "remoteobj_farm-0.wheel.whl\n"
        assert "--no-deps wheels/remoteobj_farm-0.wheel.whl" in (home / "pip.txt").read_text()
        assert not (home / "token").exists()
        kept = home / "config" / "remoteobj" / "clusters" / "lab" / "node.pem"
        assert kept.stat().st_mode & 0o077 == 0
        nodes.add(Store(kept.parent).prove().claims.node)
    assert len(nodes) == 2, "each has an identity of its own"
    _, said = classroom(room, "install")
    assert set(said.values()) == {"installed; has joined before"}, "and the token is used up"
    (room / "room.txt").write_text("anna\n")
    try:
        assert classroom(room, "start") == (0, {"anna": "started"})
        log = room / "anna" / ".remoteobj" / "slave.log"
        eventually(lambda: "looks for farm 'lesson'" in log.read_text(), "its first words")
    finally:
        classroom(room, "stop")


def test_the_shell_scripts_are_shell() -> None:
    for shell in ("sh", "bash"):
        if shutil.which(shell):
            subprocess.run([shell, "-n", str(DEPLOY / "classroom.sh")], check=True)


@pytest.mark.parametrize(
    "arguments", [[], ["room.txt"], ["room.txt", "dance"], ["none.txt", "start"]]
)
def test_wrong_usage_of_the_script_says_what_is_right(arguments: list[str], room: Path) -> None:
    done = subprocess.run(
        ["sh", str(DEPLOY / "classroom.sh"), *arguments],
        cwd=room, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "install|start|status|stop" in done.stderr or "there is no file none.txt" in done.stderr


def test_the_table_names_each_file() -> None:
    page = (DEPLOY / "README.md").read_text(encoding="utf-8")
    for file in DEPLOY.iterdir():
        assert file.name == "README.md" or f"]({file.name})" in page
