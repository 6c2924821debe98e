"""What docs/name-server.md shows is run: its commands against a server of its own, its scripts."""

from __future__ import annotations

import itertools
import json
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
from typing import get_args

import pytest

from nameserver.cli.printing import as_dict
from nameserver.doctor.verdict import Check
from nameserver.record import make_record
from tests.certificates import make_cluster
from tests.conftest import PATIENCE_S, StartScript
from tests.docs.running import prints_what_it_says
from tests.nameserver.command import command

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "name-server.md").read_text(encoding="utf-8")
SCRIPTS = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
LINES = [
    line.strip()
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
COMMANDS = [shlex.split(line)[1:] for line in LINES if line.startswith("nameserver ")]
STARTS = [words for words in COMMANDS if words[0] == "run"]
OTHERS = [words for words in COMMANDS if words[0] not in ("run", "watch")]
WATCHES = [words for words in COMMANDS if words[0] == "watch"]
UNIT = (DOCS / "deploy" / "nameserver.service").read_text(encoding="utf-8")
PROPERTIES = (DOCS / "deploy" / "remoteobj.nameserver.plist").read_bytes()


def here(words: list[str]) -> list[str]:
    """Return a command of the page for this machine: on loopback, at a free port."""
    words = ["127.0.0.1" if word in ("192.168.1.20", "0.0.0.0") else word for word in words]
    if words[0] == "run":
        if "--port" in words:
            words[words.index("--port") + 1] = "0"
        else:
            words += ["--port", "0"]
    return words


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the identities of the page are, and where its commands are typed."""
    files = make_cluster(tmp_path / "made", ("hall", "anna"))
    shutil.copy(files["hall"].ca, tmp_path / "ca.pem")
    for name, (_, certificate, key) in files.items():
        shutil.copy(certificate, tmp_path / f"{name}.pem")
        shutil.copy(key, tmp_path / f"{name}.key")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Server:
    """A name server of the page in its own process, until it is closed."""

    def __init__(self, start_script: StartScript, words: list[str]) -> None:
        self.process = start_script("-m", "nameserver", *here(words))
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.address = line.split()[3].rstrip(",")

    def close(self) -> None:
        self.process.terminate()
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0
        assert out.splitlines()[-1].startswith("name server ended; ")  # "founded" comes before


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("words", STARTS, ids=" ".join)
def test_each_server_of_the_page_starts_and_ends(
    words: list[str], start_script: StartScript
) -> None:
    server = Server(start_script, words)
    environment = {"REMOTEOBJ_IDENTITY": os.pathsep.join(["ca.pem", "anna.pem", "anna.key"])}
    if words == ["run"]:  # the cluster is this account's own
        environment = {}
    security = ["--insecure"] if "--insecure" in words else []
    said = command("ping", "--nameserver", server.address, *security, **environment)
    assert said.code == 0
    assert ("cluster 'lab'" in said.out) == ("--cluster" in words)
    server.close()


@pytest.fixture
def lab(folder: Path, start_script: StartScript) -> Iterator[dict[str, str]]:
    """What says where the server of a cluster called "lab" is."""
    (words,) = (words for words in STARTS if "--cluster" in words)
    server = Server(start_script, words)
    yield {
        "REMOTEOBJ_NAMESERVER": server.address,
        "REMOTEOBJ_IDENTITY": os.pathsep.join(["ca.pem", "anna.pem", "anna.key"]),
    }
    server.close()


def test_each_command_of_the_page_does_what_it_says(lab: dict[str, str]) -> None:
    address = lab["REMOTEOBJ_NAMESERVER"]
    ran = []
    for words in OTHERS:
        typed = [word.replace("192.168.1.20:9090", address) for word in words]
        code, out, err = command(*[each for each in typed if each != "--insecure"], **lab)
        assert code == 0 or (words[0], code) == ("doctor", 1), (words, err)
        ran.append((words[0], out))
        if "--json" in words:
            json.loads(out)
    assert [name for name, _ in itertools.groupby(ran, key=lambda each: each[0])] == [
        *("ping", "list", "ping", "register", "lookup", "list", "register", "remove"),
        *("leaders", "ping", "list", "ping", "doctor"),
    ]
    assert ("lookup", "PYRO:camera@192.168.1.21:4711\n") in ran
    assert sum("lab.camera\t" in out for _, out in ran) == 2


@pytest.mark.parametrize("words", WATCHES, ids=" ".join)
def test_each_watch_of_the_page_watches(
    words: list[str], lab: dict[str, str], start_script: StartScript
) -> None:
    assert command("register", "lab.bell", "PYRO:x@127.0.0.1:1", **lab).code == 0
    watching = start_script("-m", "nameserver", *words, **lab)
    assert watching.stdout is not None
    while "lab.bell" not in watching.stdout.readline():
        pass
    watching.send_signal(signal.SIGINT)
    assert watching.wait(PATIENCE_S) == 130


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_script_of_the_page_prints_what_it_says(name: str, tmp_path: Path) -> None:
    prints_what_it_says(SCRIPTS[name], tmp_path / name)


def test_the_page_names_all_keys_and_checks() -> None:
    keys = as_dict("here", make_record("a", "PYRO:x@h:1"), 0.0)
    listed = re.findall(r"^\| (`.*?`) \|", PAGE, re.MULTILINE)
    assert set(keys) <= set(re.findall(r"`(\w+)`", " ".join(listed)))
    for check in get_args(Check):
        assert f"\n| {check} |" in PAGE


def test_all_commands_are_on_the_page() -> None:
    assert {words[0] for words in COMMANDS} == {
        *("run", "list", "lookup", "register", "remove", "watch", "ping", "doctor"),
        "leaders",
    }
    assert [words[-1] for words in STARTS if "--store" in words] == ["names.db"]


# A server that starts with its machine.


def test_the_unit_starts_a_server(folder: Path, start_script: StartScript) -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)
    program, *words = shlex.split(line)
    assert program == "/opt/remoteobj/bin/nameserver"
    starts_and_keeps(folder, start_script, words)


def test_the_property_list_starts_a_server(folder: Path, start_script: StartScript) -> None:
    program, *words = plistlib.loads(PROPERTIES)["ProgramArguments"]
    assert program == "/opt/remoteobj/bin/nameserver"
    starts_and_keeps(folder, start_script, words)


def starts_and_keeps(folder: Path, start_script: StartScript, words: list[str]) -> None:
    for end in ("pem", "key"):
        shutil.copy(folder / f"hall.{end}", folder / f"machine.{end}")
    assert words[words.index("--port") + 1] == "9090"
    words = [str(folder / Path(word).name) if "/" in word else word for word in words]
    Server(start_script, words).close()
    assert (folder / "names.db").exists()


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "nameserver.service"
    unit.write_text(UNIT.replace("/opt/remoteobj/bin/nameserver", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert not [line for line in done.stderr.splitlines() if "nameserver.service" in line]
