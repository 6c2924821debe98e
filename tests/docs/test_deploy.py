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
from pathlib import Path

import pytest

from tests.certificates import make_cluster
from tests.conftest import PATIENCE_S, StartScript, eventually
from tests.docs.test_two_machines import SHELL

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
PROGRAM = "/opt/remoteobj/bin/masterslave"
NOWHERE = {"REMOTEOBJ_NAMESERVER": "127.0.0.1:1"}


def command_of(file: str) -> list[str]:
    """Return what a unit or a property list starts."""
    if file.endswith(".plist"):
        program, *words = plistlib.loads((DEPLOY / file).read_bytes())["ProgramArguments"]
    else:
        text = (DEPLOY / file).read_text(encoding="utf-8")
        program, *words = shlex.split(re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)[0])
    assert program == PROGRAM
    return [str(word) for word in words]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files are that a unit names: ca.pem, machine.pem, machine.key."""
    files = make_cluster(tmp_path / "made", ("machine",))["machine"]
    for name, file in zip(("ca.pem", "machine.pem", "machine.key"), files, strict=True):
        shutil.copy(file, tmp_path / name)
    for name, value in NOWHERE.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.mark.parametrize(
    "file", ["slave.service", "slave-of-a-user.service", "remoteobj.slave.plist"]
)
def test_each_slave_starts_and_ends_as_its_system_ends_it(
    file: str, folder: Path, start_script: StartScript
) -> None:
    words = [str(folder / Path(word).name) if "/" in word else word for word in command_of(file)]
    slave = start_script("-u", "-m", "masterslave", *words)
    assert slave.stdout is not None
    assert "looks for any farm" in slave.stdout.readline()
    ending = signal.SIGTERM if file.endswith(".plist") else signal.SIGINT
    slave.send_signal(ending)
    slave.communicate(timeout=PATIENCE_S)
    assert slave.returncode == (
        0 if ending == signal.SIGTERM else 130
    )  # the unit counts 130 as well


@pytest.mark.parametrize("file", ["slave.service", "slave-of-a-user.service"])
def test_systemd_takes_the_units(file: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / file
    text = (DEPLOY / file).read_text(encoding="utf-8")
    assert text.count(PROGRAM) == 1
    unit.write_text(text.replace(PROGRAM, sys.executable), encoding="utf-8")
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
        program = home / "bin" / "masterslave"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m masterslave "$@"\n')
        program.chmod(0o755)
        (home / "identity").mkdir()
        for name in ("ca.pem", "machine.pem", "machine.key"):
            shutil.copy(folder / name, home / "identity")
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


def test_installing_makes_a_certificate_for_each_machine(room: Path) -> None:
    """What pip does is left out: the machine's Python is a stand-in that notes what it is asked."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    making_the_ca = SHELL[0].partition("# Each machine")[0]  # as the page has it
    subprocess.run(["sh", "-e", "-c", making_the_ca], cwd=room, capture_output=True, check=True)
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
    assert (code, said) == (0, {"anna": "installed", "ben": "installed"})
    for host in ("anna", "ben"):
        home = room / host / ".remoteobj"
        assert (home / "wheels.txt").read_text() == "remoteobj_farm-0.wheel.whl\n"
        assert "--no-deps wheels/remoteobj_farm-0.wheel.whl" in (home / "pip.txt").read_text()
        key = home / "identity" / "machine.key"
        assert key.stat().st_mode & 0o077 == 0
        shown = subprocess.run(
            ["openssl", "verify", "-CAfile", "ca.pem", str(home / "identity" / "machine.pem")],
            cwd=room, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert shown.stdout.endswith("OK\n"), shown.stderr
        subject = subprocess.run(
            ["openssl", "x509", "-noout", "-subject", "-in", home / "identity" / "machine.pem"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert subject.stdout.replace(" ", "").strip().endswith(f"CN={host}")


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
