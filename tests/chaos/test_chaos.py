"""A minute of chaos, and a bug that is planted into the master: it has to be found."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import eventually
from tests.lan.hosts import ip

PLANTS = Path(__file__).with_name("plants")


class NotOver(AssertionError):
    """A run that was not over in time, and was ended with all that it had started.

    Attributes:
        mark: What was in the environment of all its processes.
        homes: Directories of machines that were made for it.
        folders: What is left: one of each seed that was under way.
    """

    def __init__(self, mark: str, timeout_s: float) -> None:
        self.mark = mark
        self.homes: set[Path] = set()
        self.folders: set[str] = set()
        eventually(self._are_gone, "all that it has started is gone")
        for prefix in self.prefixes():
            for name in Path("/run/netns").glob(f"{prefix}*"):
                ip("netns", "delete", name.name)
            self.homes.update(Path(tempfile.gettempdir()).glob(f"{prefix}*"))
        for home in self.homes:
            shutil.rmtree(home, ignore_errors=True)
        super().__init__(f"not over within {timeout_s:g} s, see {', '.join(self.folders)}")

    def prefixes(self) -> set[str]:
        """Return how the names of its networks begin."""
        found = (re.match("lan-[0-9a-f]+-", home.name) for home in self.homes)
        return {match[0] for match in found if match}

    def _are_gone(self) -> bool:
        left = marked(self.mark)
        for pid, environment in left.items():
            self.folders.update({environment.get("CHAOS_FOLDER", "")} - {""})
            if environment.get("HOME") != os.environ.get("HOME"):
                self.homes.add(Path(environment["HOME"]))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left


def marked(mark: str) -> dict[int, dict[str, str]]:
    """Return the environments of processes that have this in them."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is somebody else's
            lines = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
            if f"CHAOS_MARK={mark}" in lines:
                found[int(entry.name)] = dict(line.split("=", 1) for line in lines if "=" in line)
    return found


def _run(*arguments: str, timeout_s: float = 170.0) -> tuple[int, str]:
    mark = secrets.token_hex(8)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.chaos", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "CHAOS_MARK": mark},
    ) as process:  # fmt: skip
        try:
            said, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            print(process.communicate()[0])
            raise NotOver(mark, timeout_s) from None
    return process.returncode, said


@pytest.mark.serial
def test_a_minute_of_chaos() -> None:
    code, said = _run("--seconds", "50", "--jobs", "2")  # what fails is kept, and said where
    print(said)
    assert code == 0, said


@pytest.mark.serial
@pytest.mark.parametrize(
    ("plant", "seed", "complaint"),
    [
        ("acknowledges_early", "4", "and the journal did not know that"),
        ("forgets_slaves", "2", "and there is no reason"),
    ],
)
def test_a_bug_that_is_planted_is_found(
    tmp_path: Path, plant: str, seed: str, complaint: str
) -> None:
    code, said = _run(
        "--seeds", "8", "--seed", seed, "--first", "--scenes", "home", "--kinds", "kill_master",
        "--plant", str(PLANTS / f"{plant}.py"), "--keep", str(tmp_path / "kept"),
    )  # fmt: skip
    assert code == 1, said
    assert complaint in said
    assert list((tmp_path / "kept").glob("*/story.txt"))


@pytest.mark.serial
def test_what_is_not_over_in_time_leaves_nothing_but_its_folders(tmp_path: Path) -> None:
    with pytest.raises(NotOver) as caught:
        _run(
            "--seeds", "1", "--scenes", "lan", "--plan", "60", "--keep", str(tmp_path / "kept"),
            timeout_s=10.0,
        )  # fmt: skip
    ended = caught.value
    assert not marked(ended.mark)
    assert ended.homes
    assert not [home for home in ended.homes if home.exists()]
    for prefix in ended.prefixes():
        assert not list(Path("/run/netns").glob(f"{prefix}*"))
    (folder,) = ended.folders
    assert "/chaos-1-" in folder
    shutil.rmtree(folder)
