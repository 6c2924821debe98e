"""``nameserver run``, in a process of its own: signals, a store, the line of status."""

from __future__ import annotations

import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nameserver import NameServer
from nameserver.server import DEFAULT_PORT
from tests.conftest import StartScript, eventually
from tests.nameserver.command import command

HERE = "PYRO:x@127.0.0.1:4711"
RUN = ("-m", "nameserver", "run", "--host", "127.0.0.1", "--insecure", "--port", "0")

Running = tuple["subprocess.Popen[str]", str, str]
Start = Callable[..., Running]


@pytest.fixture
def start(start_script: StartScript) -> Start:
    """Start a server, and return it with its address and its first line."""

    def start(*arguments: str) -> Running:
        process = start_script(*RUN, *arguments)
        assert process.stdout is not None
        line = process.stdout.readline()
        return process, line.split()[3].rstrip(","), line

    return start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_ends_cleanly(start: Start, number: signal.Signals) -> None:
    server, address, line = start()
    assert re.fullmatch(
        r'name server at 127\.0\.0\.1:\d+, announced by zeroconf as "[\w-]+"; Ctrl-C ends it\n',
        line,
    )
    assert command("ping", "--insecure", "--nameserver", address).code == 0
    os.kill(server.pid, number)
    out, err = server.communicate(timeout=10)
    assert server.returncode == 0
    assert out == "name server ended; its names are gone\n"
    assert err.splitlines() == [err.strip()]
    assert err.startswith(f"nameserver: warning: plain TCP on {address}")


def test_its_port_is_in_use(server: NameServer) -> None:
    port = server.address.rpartition(":")[2]
    code, out, err = command("run", "--host", "127.0.0.1", "--insecure", "--port", port)
    assert (code, out) == (1, "")
    assert err.startswith(f"nameserver: cannot listen on 127.0.0.1:{port}: Address already in use")
    assert len(err.splitlines()) == 1


def test_it_takes_the_usual_port_or_where_that_is_in_use_another(
    start_script: StartScript,
) -> None:
    usual = f"127.0.0.1:{DEFAULT_PORT}"
    first, second = (start_script(*RUN[:-2], "--no-announce") for _ in range(2))
    said = {}
    for process in (first, second):
        assert process.stdout is not None
        said[process] = process.stdout.readline().split()[3].rstrip(",")
    others = [process for process, address in said.items() if address != usual]
    assert others  # both, where somebody else has the usual port
    for process in said:
        process.terminate()
        _, err = process.communicate(timeout=10)
        words = f"nameserver: port {DEFAULT_PORT} is in use, so it took another"
        assert (words in err) == (process in others)


def test_an_address_of_another_machine_is_said() -> None:
    code, out, err = command("run", "--host", "192.0.2.200", "--insecure")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert "cannot listen on 192.0.2.200" in err


def test_its_cluster_is_chosen(start: Start) -> None:
    _, address, _ = start("--no-announce", "--cluster", "lab-3")
    at = ("--insecure", "--nameserver", address)
    assert "of the cluster 'lab-3'" in command("ping", *at).out
    assert "not of 'lab-4'" in command("ping", *at, REMOTEOBJ_CLUSTER="lab-4").err


def test_names_are_kept_in_a_store(start: Start, tmp_path: Path) -> None:
    store = tmp_path / "names.db"
    options = ("--no-announce", "--store", str(store))
    server, address, line = start(*options)
    assert line.endswith(f", not announced: as you wished, 0 names in {store}; Ctrl-C ends it\n")
    at = ("--insecure", "--nameserver", address)
    assert command("register", "lab.bell", HERE, *at).code == 0
    server.terminate()
    assert server.communicate(timeout=10)[0] == f"name server ended; 1 name is kept in {store}\n"
    server, address, line = start(*options)
    assert line.endswith(f", 1 name in {store}; Ctrl-C ends it\n")
    at = ("--insecure", "--nameserver", address)
    assert command("lookup", "lab.bell", *at).out == f"{HERE}\n"
    assert command("register", "lab.clock", HERE, *at).code == 0
    server.terminate()
    assert server.communicate(timeout=10)[0] == f"name server ended; 2 names are kept in {store}\n"


def test_a_store_that_cannot_be_used_is_said(start: Start, tmp_path: Path) -> None:
    def refused(path: Path) -> str:
        code, out, err = command(*RUN[2:], "--no-announce", "--store", str(path))
        assert (code, out) == (1, "")
        (line,) = err.splitlines()
        return line

    assert "is its directory there" in refused(tmp_path / "nowhere" / "names.db")
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"no database" * 1000)
    assert re.search(r"is damaged .* kept as \S+damaged\.db\.damaged-", refused(damaged))
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE birds (name)")
    database.close()
    assert "is a database of another program" in refused(other)
    used = tmp_path / "used.db"
    start("--no-announce", "--store", str(used))
    assert "another process uses it" in refused(used)


class Terminal:
    """A terminal, and the server that runs in it."""

    def __init__(self, *arguments: str) -> None:
        self.written = ""
        self._main, other = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
        self.process = subprocess.Popen(
            [sys.executable, *RUN, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=other,
            stderr=other,
            env=environment,
        )
        os.close(other)
        os.set_blocking(self._main, False)

    def shows(self, pattern: str) -> bool:
        """Tell whether it has shown this by now."""
        try:
            while read := os.read(self._main, 4096):
                self.written += read.decode()
        except OSError:  # nothing more now, or ever
            pass
        return bool(re.search(pattern, self.written))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._main)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    running = Terminal("--no-announce")
    yield running
    running.close()


def test_on_a_terminal_a_line_of_status_is_kept_up_to_date(terminal: Terminal) -> None:
    eventually(lambda: terminal.shows(r"0 names, 0 connections, 0 calls"), "a first line")
    address = re.findall(r"name server at (\S+),", terminal.written)[0]
    at = ("--insecure", "--nameserver", address)
    assert command("register", "lab.bell", HERE, *at).code == 0
    eventually(lambda: terminal.shows(r"m1 name, \d+ connections?, [1-9]\d* calls?"), "its call")
    assert command("remove", "lab.bell", *at).code == 0
    eventually(lambda: terminal.shows(r"m1 name, (?s:.*)m0 names, "), "and the next one")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.process.wait(10) == 0
    assert terminal.shows(r"name server ended; its names are gone\r\n$")


def test_a_signal_that_another_thread_took_ends_it_too(start_script: StartScript) -> None:
    process = start_script(
        "-c",
        """
import signal, sys, threading
from nameserver.cli import main

def main_thread_waits():
    frame = sys._current_frames()[threading.main_thread().ident]
    names = []
    while frame is not None and len(names) < 3:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names == ["wait", "wait", "run"]

def interrupt():
    while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL or not main_thread_waits():
        pass
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

threading.Thread(target=interrupt).start()
sys.argv[1:] = ["run", "--host", "127.0.0.1", "--insecure", "--no-announce"]
main()
""",
    )
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert out.endswith("name server ended; its names are gone\n")
