"""A room of computers with a name server, slaves, and a script that has a farm.

They are paired, and nothing else is told them: each host finds its identity where pairing has put
it, and TCP is TLS. "stranger" and "foreigner" are plugged in, and not paired with them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lan.hosts import Lan, Line, Running

__all__ = ["AT_LEAST", "CLUSTER", "FOUND", "LOOKS", "Room", "Script", "has_done", "hosts_of"]

SCRIPT = str(Path(__file__).with_name("master_script.py"))
AT_LEAST = 400
CLUSTER = "room"

LOOKS = r"slave .*, 1 slot, looks for farm 'lan'"
FOUND = r"found farm 'lan' of master_script.py"

Facts = dict[str, Any]


class Room:
    """A host called "hall" for the script, and one for each slave."""

    def __init__(self, lan: Lan) -> None:
        self.lan = lan
        self.hall = lan["hall"]

    def start_slave(self, name: str, *security: str) -> Running:
        """Start a slave, which knows a label and nothing of addresses.

        Args:
            security: Options for a host that is not paired.
        """
        slave = ("-m", "masterslave", "slave", "lan", "--slots", "1")
        return self.lan[name].python(*slave, *security)

    def start_nameserver(self) -> Running:
        """Start the name server; it is announced when this returns."""
        address = self.hall.address
        server = self.hall.python(
            "-m", "nameserver", "run", "--host", address, "--cluster", CLUSTER
        )
        server.wait_for(rf"name server at {address}:\d+, announced by zeroconf")
        return server

    def start_script(self, at_least: int = AT_LEAST) -> Script:
        """Start the script."""
        return Script(self.hall.python(SCRIPT, str(at_least)), at_least)


class Script:
    """The script in the hall, and what it tells."""

    def __init__(self, running: Running, at_least: int) -> None:
        self.running = running
        self._at_least = at_least

    def wait_until(
        self, is_so: Callable[[Facts], Any], wanted: str, timeout_s: float = 20.0
    ) -> Facts:
        """Wait until what the script tells from now on has *is_so* true."""
        start = len(self.running.lines)

        def look(lines: list[Line]) -> Facts | None:
            nonlocal start
            news, start = lines[start:], len(lines)
            told = (json.loads(line.text) for line in news if line.text.startswith("{"))
            return next((facts for facts in told if "slaves" in facts and is_so(facts)), None)

        return self.running.wait_until(look, wanted, timeout_s)

    def finish(self) -> Facts:
        """Say that it is enough, and return the summary of the run."""
        self.running.say("enough")
        assert self.running.wait() == 0, self.running.output()
        summary: Facts = json.loads(
            next(line.text for line in self.running.lines if '"summary"' in line.text)
        )
        assert summary["exactly_once"], summary
        assert summary["equal_to_serial"], summary
        assert summary["results"] >= self._at_least
        assert summary["statistics"]["submitted"] == summary["results"]
        assert summary["statistics"]["done"] == summary["results"]
        assert summary["statistics"]["failed"] == 0
        assert summary["statistics"]["given_up"] == 0
        return summary


def has_done(name: str, more_than: int = 0) -> Callable[[Facts], bool]:
    """Return the condition that a host has answered tasks."""
    return lambda facts: facts["done_by"].get(name, 0) > more_than


def hosts_of(facts: Facts) -> set[str]:
    """Return the names of the hosts whose slaves are here."""
    return {slave["host"] for slave in facts["slaves"]}
