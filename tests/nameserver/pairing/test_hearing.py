"""Whoever is connected hears within seconds who was revoked: plain daemons and plain proxies too.

Real processes, each of an account of its own; none runs a slave or asks a name server for anything.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import StartScript, eventually
from tests.nameserver.command import command

IN_TIME_S = 5.0

DAEMON = """
import sys, threading
from remoteobj import Daemon, Identity, expose
@expose
class Bell:
    def ring(self): return "ding"
    def hold(self): threading.Event().wait(60)
with Daemon("127.0.0.1") as daemon:
    print(daemon.register(Bell(), "bell"), flush=True)
    daemon.start()
    for line in sys.stdin:
        connections = daemon.statistics().connections
        revoked = len(Identity.stored().revoked.nodes)
        print({"connections": connections, "revoked": revoked}[line.strip()], flush=True)
"""
PROXY = """
import sys
from remoteobj import Identity, PeerRefused, Proxy
with Proxy(sys.argv[1]) as bell:
    print(bell.ring(), flush=True)
    for line in sys.stdin:
        try:
            print(getattr(bell, line.strip())(), flush=True)
        except PeerRefused as error:
            print("refused:", str(error).splitlines()[0], flush=True)
"""


class Town:
    """A name server with the authority, and accounts that joined there."""

    def __init__(self, folder: Path, start: StartScript) -> None:
        self._folder, self._start = folder, start
        self.server = self.run_server("0")
        self.address = next_line(self.server).split()[3].rstrip(",")
        next_line(self.server)  # that the cluster was founded

    def run_server(self, port: str) -> subprocess.Popen[str]:
        return self.run("hall", "-m", "nameserver", "run", "--host", "127.0.0.1", "--port", port,
                        "--no-announce")  # fmt: skip

    def run(self, account: str, *arguments: str) -> subprocess.Popen[str]:
        return self._start(*arguments, **self._env(account))

    def _env(self, account: str) -> dict[str, str]:
        config, runtime = self._folder / account, self._folder / f"{account}.run"
        for directory in (config, runtime):
            directory.mkdir(mode=0o700, exist_ok=True)
        return {"XDG_CONFIG_HOME": str(config)}

    def command(self, account: str, *arguments: str, **more: str) -> str:
        said = command(*arguments, **self._env(account), **more)
        assert said.code == 0, said.err
        return said.out

    def join(self, *names: str) -> None:
        for name in names:
            told = self.command("hall", "invite", "--role", "member", "--nameserver", self.address)
            (token,) = {line for line in told.splitlines() if line.startswith("rj1-")}
            self.command(name, "join", "--name", name, REMOTEOBJ_JOIN=token)

    def revoke(self, name: str) -> float:
        self.command("hall", "revoke", name, "--nameserver", self.address)
        return time.monotonic()


@pytest.fixture
def town(tmp_path: Path, start_script: StartScript) -> Town:
    return Town(tmp_path, start_script)


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate(timeout=10)[1]
    return line.strip()


def say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def ask(process: subprocess.Popen[str], line: str) -> str:
    say(process, line)
    return next_line(process)


def ask_until(process: subprocess.Popen[str], line: str, answer: str) -> None:
    eventually(lambda: ask(process, line) == answer, f"{line} is {answer}", IN_TIME_S)


def test_a_plain_daemon_ends_the_connection_of_who_is_revoked(town: Town) -> None:
    town.join("anna", "ben")
    daemon = town.run("anna", "-c", DAEMON)
    uri = next_line(daemon)
    proxy = town.run("ben", "-c", PROXY, uri)
    assert next_line(proxy) == "ding"
    say(proxy, "hold")
    revoked_at = town.revoke("ben")
    assert "revoked" in next_line(proxy)
    took_s = time.monotonic() - revoked_at
    print(f"ended after {took_s:.2f} s")
    assert took_s < IN_TIME_S
    assert "revoked" in ask(proxy, "ring"), "and it cannot come back"


def test_an_idle_connection_ends_too(town: Town) -> None:
    town.join("anna", "ben")
    daemon = town.run("anna", "-c", DAEMON)
    proxy = town.run("ben", "-c", PROXY, next_line(daemon))
    assert next_line(proxy) == "ding"
    assert ask(daemon, "connections") == "1"
    town.revoke("ben")
    ask_until(daemon, "connections", "0")
    assert "revoked" in ask(proxy, "ring")


def test_a_plain_proxy_ends_its_connection_to_who_is_revoked(town: Town) -> None:
    town.join("anna", "ben")
    daemon = town.run("ben", "-c", DAEMON)
    proxy = town.run("anna", "-c", PROXY, next_line(daemon))
    assert next_line(proxy) == "ding"
    say(proxy, "hold")
    revoked_at = town.revoke("ben")
    assert "revoked" in next_line(proxy)
    assert time.monotonic() - revoked_at < IN_TIME_S
    assert "revoked" in ask(proxy, "ring")


def test_where_the_name_server_is_away_whoever_knows_tells(town: Town) -> None:
    """Anna comes back when the name server is gone, and hears of it from carl, who calls her."""
    town.join("anna", "ben", "carl")
    daemon = town.run("carl", "-c", DAEMON)
    uri = next_line(daemon)
    proxy = town.run("carl", "-c", PROXY, uri)
    assert next_line(proxy) == "ding"
    town.revoke("ben")
    ask_until(daemon, "revoked", "1")
    town.server.terminate()
    town.server.wait(10)
    annas = town.run("anna", "-c", DAEMON)
    uri = next_line(annas)
    bens = town.run("ben", "-c", PROXY, uri)
    assert next_line(bens) == "ding", "nobody has told anna"
    carls = town.run("carl", "-c", PROXY, uri)
    assert next_line(carls) == "ding"
    assert "revoked" in ask(bens, "ring")
    assert ask(annas, "revoked") == "1"
