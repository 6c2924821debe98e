"""A room of computers with a name server, slaves, and a script that has a farm.

They are of one cluster: each host has a certificate of its own, and TCP is TLS.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.certificates import Files
from tests.lan.hosts import Lan, Line, Running

__all__ = ["AT_LEAST", "FOUND", "LOOKS", "Room", "Script", "has_done", "hosts_of"]

SCRIPT = str(Path(__file__).with_name("master_script.py"))
AT_LEAST = 400

LOOKS = r"slave .*, 1 slot, looks for farm 'lan'"
FOUND = r"found farm 'lan' of master_script.py"

Facts = dict[str, Any]


class Room:
    """A host called "hall" for the script, and one for each slave.

    Args:
        cluster: The identities of the hosts.
    """

    def __init__(self, lan: Lan, cluster: dict[str, Files]) -> None:
        self.lan = lan
        self.hall = lan["hall"]
        self._cluster = cluster

    def identity_of(self, name: str) -> tuple[str, ...]:
        """Return the files of a host's identity: CA, certificate, key."""
        return tuple(map(str, self._cluster[name]))

    def start_slave(self, name: str, *security: str) -> Running:
        """Start a slave, which knows a label and nothing of addresses.

        Args:
            security: Options instead of ``--identity`` with the files of the host.
        """
        options = security or ("--identity", *self.identity_of(name))
        slave = ("-m", "masterslave", "slave", "lan", "--slots", "1")
        return self.lan[name].python(*slave, *options)

    def start_nameserver(self) -> Running:
        """Start the name server; it is announced when this returns."""
        address = self.hall.address
        identity = os.pathsep.join(self.identity_of("hall"))
        server = self.hall.python(
            "-m", "nameserver", "run", "--host", address, REMOTEOBJ_IDENTITY=identity
        )
        server.wait_for(rf"name server at {address}:\d+, announced by zeroconf")
        return server

    def start_script(self, at_least: int = AT_LEAST) -> Script:
        """Start the script."""
        arguments = (self.hall.address, str(at_least), *self.identity_of("hall"))
        return Script(self.hall.python(SCRIPT, *arguments), at_least)


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
