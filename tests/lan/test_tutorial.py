"""docs/tutorial.md is done from top to bottom, by three hosts that stand for its machines."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lan.hosts import Lan, Running

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
BLOCKS = re.findall(r"```sh\n# (\w+)(, and leave it running)?\n(.*?)```", PAGE, re.DOTALL)
JOIN = "masterslave slave primes --join"
STARTED = {  # what says that a command that is left running does its work
    "masterslave slave --slots 2": "looks for any farm",
    "nameserver run": "announced by zeroconf",
    "masterslave slave primes": "looks for farm 'primes'",
    "python room.py": "hall works",
}
SEEN = {("ben", JOIN): "ben works"}
"""What the script then says."""


class Typist:
    """Types the page's commands, each on its machine."""

    def __init__(self, lan: Lan, home: Path) -> None:
        self._lan = lan
        self._home = home
        self._path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.script: Running | None = None
        self._token = ""

    def run(self, name: str, line: str) -> str:
        """Type a command and wait for its end; a token that it shows is what is pasted then."""
        said = self._lan[name].run(
            self._command(name, line), 60.0, PATH=self._path, PYTHONDONTWRITEBYTECODE="1"
        )
        self._token = "".join(re.findall(r"\brj1-\S+", said)[:1]) or self._token
        return said

    def leave_running(self, name: str, line: str) -> Running:
        """Type a command, and wait until it does its work."""
        running = self._lan[name].popen(
            self._command(name, line), PATH=self._path, PYTHONDONTWRITEBYTECODE="1"
        )
        if line == JOIN:
            running.say_last(self._token)
        (pattern,) = (what for start, what in STARTED.items() if line.startswith(start))
        running.wait_for(pattern, 30.0)
        if line.startswith("python"):
            self.script = running
        return running

    def _command(self, name: str, line: str) -> list[str]:
        line = line.partition("  #")[0]
        return ["sh", "-c", f'cd "{self._home / name}" && exec {line}' if _is_one(line) else
                f'cd "{self._home / name}" && {line}']  # fmt: skip


def _is_one(line: str) -> bool:
    """Tell whether a line is one program, which is to get the signals itself."""
    return not re.match(r"for |printf", line)


@pytest.fixture
def typist(tmp_path: Path) -> Iterator[Typist]:
    for name in ("hall", "anna", "ben"):
        (tmp_path / name).mkdir()
    for name, text in FILES.items():
        (tmp_path / "hall" / name).write_text(text, encoding="utf-8")
    with Lan("hall", "anna", "ben") as lan:
        yield Typist(lan, tmp_path)


def test_the_page_from_top_to_bottom(typist: Typist) -> None:
    running: list[Running] = []
    for name, stays, block in BLOCKS:
        for line in block.splitlines():
            if stays:
                running.append(typist.leave_running(name, line))
                if SEEN.get((name, line)):
                    assert typist.script is not None
                    typist.script.wait_for(SEEN[name, line], 30.0)
                continue
            said = typist.run(name, line)
            promised = re.findall(r"  # (\d.*)", line)
            assert not promised or promised[0] in said, said
            if line.startswith("masterslave show"):
                assert {"hall", "anna", "ben"} <= set(re.findall(r"hall|anna|ben", said)), said
    assert typist.script is not None
    typist.script.signal(signal.SIGINT)
    typist.script.wait()
    for each in running:
        each.close()


def test_nothing_of_the_page_is_left_out() -> None:
    assert len(BLOCKS) == PAGE.count("```sh\n")
    assert set(FILES) == {"counting.py", "primes.py", "room.py"}
    assert PAGE.count("and leave it running\n") == 5
