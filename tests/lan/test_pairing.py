"""Machines that were never seen join a cluster and work for its farms: one line, new accounts."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lan.hosts import Host, Lan, Running

QUICK_S = 10.0
SCRIPT = """
import socket
from masterslave import Farm

with Farm("paired", local_slaves=0) as farm:
    print("works:", farm.submit(socket.gethostname).result(60), flush=True)
"""
BIN = Path(sys.executable).parent


class Typist:
    """Types commands on hosts."""

    def __init__(self, lan: Lan) -> None:
        self.lan = lan
        self._path = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    def start(self, host: Host, *words: str) -> Running:
        """Type a command, and leave it running."""
        return host.popen(words, **self._path)

    def run(self, host: Host, *words: str) -> str:
        """Type a command, and wait for its end."""
        return host.run(words, **self._path)

    def paste(self, host: Host, lines: str) -> Running:
        """Paste lines into a shell."""
        shell = self.start(host, "sh")
        shell.say(lines)
        return shell

    def seen_by_ps(self) -> str:
        """Return the arguments of all processes on the hosts."""
        seen = b""
        for host in self.lan:
            for pid in host.pids():
                seen += Path(f"/proc/{pid}/cmdline").read_bytes()
        return seen.decode(errors="replace")


@pytest.fixture
def typist() -> Iterator[Typist]:
    with Lan("hall", "anna") as lan:
        typist = Typist(lan)
        typist.start(lan["hall"], "nameserver", "run").wait_for("founded the cluster", 30.0)
        yield typist


def test_one_pasted_line_and_a_farm_uses_the_new_slave(typist: Typist) -> None:
    hall, anna = typist.lan["hall"], typist.lan["anna"]
    printed = typist.run(hall, "nameserver", "invite")
    (block,) = re.findall(r"^masterslave slave --join - <<'END'\n(?:.*\n)*?END$", printed, re.M)
    token = block.splitlines()[1]
    script = typist.start(hall, sys.executable, "-c", SCRIPT)
    begins = time.monotonic()
    slave = typist.paste(anna, block)
    assert script.wait_for("works: anna", 30.0).at - begins < QUICK_S
    slave.wait_for(r"joined 'default' at 10\.77\.0\.1:9091 as 'anna', slave")
    assert token not in typist.seen_by_ps() + slave.output() + script.output()
    assert "anna\tslave" in typist.run(hall, "nameserver", "members")


def test_the_same_by_a_code(typist: Typist) -> None:
    hall, anna = typist.lan["hall"], typist.lan["anna"]
    script = typist.start(hall, sys.executable, "-c", SCRIPT)
    pair = typist.start(hall, "nameserver", "pair")
    line = pair.wait_for(r"nameserver join --code \d{3}-\d{3}$").text
    begins = time.monotonic()
    typist.run(anna, *line.partition(":")[2].split())
    typist.start(anna, "masterslave", "slave")
    assert script.wait_for("works: anna", 30.0).at - begins < QUICK_S
    pair.wait_for(r"anna joined as slave")
    assert pair.wait() == 0
