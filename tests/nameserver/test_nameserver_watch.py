"""``nameserver watch``, in a process of its own: each event as it comes, and Ctrl-C."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import IO

import pytest

from nameserver import NameServer, NameServerClient
from tests.conftest import PATIENCE_S, StartScript

HERE, THERE = "PYRO:x@127.0.0.1:4711", "PYRO:y@127.0.0.1:4712"


class Watching:
    """A process that watches, and what it prints, line by line as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.out = self._read(process.stdout)
        self.err = self._read(process.stderr)

    def next(self) -> list[str]:
        """Return the words of the next line that has been printed."""
        return self.out.get(timeout=PATIENCE_S).split()

    def end(self, number: int = signal.SIGINT) -> tuple[int, list[str]]:
        """Send a signal; return the exit code, and what else was said."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        for thread in self._threads:
            thread.join()
        left = []
        while not self.err.empty():
            left.append(self.err.get())
        # click ends the line in which the terminal shows ^C
        return code, [line for line in left if line != "\n" and "warning: plain TCP" not in line]

    _threads: tuple[threading.Thread, ...] = ()

    def _read(self, stream: IO[str] | None) -> queue.SimpleQueue[str]:
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        assert stream is not None
        thread = threading.Thread(target=lambda: [lines.put(line) for line in stream])
        thread.start()
        self._threads += (thread,)
        return lines


Watch = Callable[..., Watching]


@pytest.fixture
def watch(start_script: StartScript) -> Watch:
    def watch(address: str, *arguments: str) -> Watching:
        at = ("--nameserver", address, "--insecure")
        return Watching(start_script("-m", "nameserver", "watch", *at, *arguments))

    return watch


def test_events_are_printed_as_they_come(
    server: NameServer, client: NameServerClient, watch: Watch
) -> None:
    client.register("lab.bell", HERE)
    client.register("shop.bell", HERE)
    watching = watch(server.address, "--prefix", "lab.")
    clock, *words = watching.next()
    assert words == ["registered", "lab.bell", HERE]
    assert time.strptime(clock, "%H:%M:%S")
    client.register("lab.bell", THERE, replace=True)
    assert watching.next()[1:] == ["changed", "lab.bell", THERE]
    client.remove("lab.bell")
    assert watching.next()[1:] == ["removed", "lab.bell", THERE]
    client.register("lab.clock", HERE, lease_s=1)
    assert watching.next()[1:] == ["registered", "lab.clock", HERE]
    client.forget("lab.clock")
    assert watching.next()[1:] == ["expired", "lab.clock", HERE]
    assert watching.end() == (130, [])


def test_json_is_an_object_a_line(
    server: NameServer, client: NameServerClient, watch: Watch
) -> None:
    watching = watch(server.address, "--json", "--prefix", "lab.")
    client.register("lab.bell", HERE, metadata={"brass"}, lease_s=25)
    event = json.loads(watching.out.get(timeout=PATIENCE_S))
    assert abs(event.pop("time") - time.time()) < 60
    assert abs(event.pop("since") - time.time()) < 60
    assert event.pop("age_s") >= 0
    assert event == {
        "kind": "registered", "name": "lab.bell", "where": server.address, "uri": HERE,
        "metadata": ["brass"], "pid": None, "lease_s": 25, "hosts": [], "problem": "",
            "node": "", "role": "",
    }  # fmt: skip
    assert watching.end() == (130, [])


@pytest.mark.parametrize("as_json", [False, True])
def test_it_says_when_the_server_is_away_and_back(watch: Watch, as_json: bool) -> None:
    def serve(port: int = 0) -> NameServer:
        with pytest.warns(match="plain TCP"):
            server = NameServer("127.0.0.1", port, insecure=True, announce=False)
        server.start()
        return server

    with closing(serve()) as server, closing(client_of(server)) as client:
        client.register("lab.bell", HERE)
        options = ["--json"] if as_json else []
        watching = watch(server.address, "--prefix", "lab.", *options)
        watching.next()
    port = int(server.address.rpartition(":")[2])
    told = watching.out if as_json else watching.err
    if not as_json:
        assert "warning: plain TCP" in told.get(timeout=PATIENCE_S)
    away = told.get(timeout=PATIENCE_S)
    with closing(serve(port)) as server, closing(client_of(server)) as client:
        back = told.get(timeout=PATIENCE_S)
        assert_said(server.address, away, back, as_json)
        gone = watching.out.get(timeout=PATIENCE_S)
        assert "removed" in gone
        client.register("lab.clock", HERE)
        assert "lab.clock" in watching.out.get(timeout=PATIENCE_S)
        assert watching.end() == (130, [])


def client_of(server: NameServer) -> NameServerClient:
    return NameServerClient(server.address, insecure=True, quiet=True)


def assert_said(address: str, away: str, back: str, as_json: bool) -> None:
    if as_json:
        first, second = json.loads(away), json.loads(back)
        assert (first["kind"], first["where"], bool(first["problem"])) == ("away", address, True)
        assert (second["kind"], second["where"], second["problem"]) == ("back", address, "")
    else:
        assert f" the name server at {address} is away: " in away
        assert back.endswith(f" the name server at {address} is back\n")


def test_a_server_that_stays_away_is_no_reason_not_to_end(watch: Watch) -> None:
    with pytest.warns(match="plain TCP"):
        server = NameServer("127.0.0.1", insecure=True, announce=False)
    with server:
        watching = watch(server.address)
        assert watching.next()[1:3] == ["registered", "Pyro.NameServer"]
    assert "warning: plain TCP" in watching.err.get(timeout=PATIENCE_S)
    assert "is away" in watching.err.get(timeout=PATIENCE_S)
    assert watching.end() == (130, [])


def test_it_ends_quietly_when_nobody_reads(
    server: NameServer, client: NameServerClient, start_script: StartScript
) -> None:
    at = ("--nameserver", server.address, "--insecure")
    process = start_script("-m", "nameserver", "watch", *at)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    client.register("lab.bell", HERE)
    assert process.wait(PATIENCE_S) == 0
    assert process.stderr is not None
    assert "Broken" not in process.stderr.read()
    process.stdout = None
