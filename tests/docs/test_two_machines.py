"""The commands of docs/two-machines.md make identities of one cluster; its script uses one."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from remoteobj import Identity

PAGE = (Path(__file__).parents[2] / "docs" / "two-machines.md").read_text(encoding="utf-8")
SHELL = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
SCRIPT = re.findall(r"```python\n# squares_of_anna.py\n(.*?)```", PAGE, re.DOTALL)[0]

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first block of the page was run."""
    folder = tmp_path_factory.mktemp("room")
    made = subprocess.run(
        ["sh", "-e", "-c", SHELL[0]], cwd=folder, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    return folder


def test_the_commands_make_identities_of_one_cluster(folder: Path) -> None:
    hall, anna = (
        Identity.from_files(*(folder / file for file in ("ca.pem", f"{name}.pem", f"{name}.key")))
        for name in ("hall", "anna")
    )
    assert (hall.subject, anna.subject) == ("hall", "anna")
    assert hall.ca_fingerprint == anna.ca_fingerprint
    assert hall.fingerprint != anna.fingerprint


def test_the_script_runs_with_them(folder: Path) -> None:
    (folder / "script.py").write_text(SCRIPT.replace("192.168.1.20", "127.0.0.1"))
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    squares, addresses = done.stdout.splitlines()
    assert squares == "[0, 1, 4, 9, 16]"
    assert set(ast.literal_eval(addresses)) == {"this machine"}


def test_every_command_of_the_page_exists() -> None:
    commands = re.findall(r"^(masterslave|nameserver) (\w+).*--identity", PAGE, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", *command, "--help"], capture_output=True, text=True, check=False
        )
        assert "--identity CA CERTIFICATE KEY" in done.stdout
