"""Networks for tests: hosts as network namespaces on one bridge or several, all gone at the end.

::

    switch namespace:  bridge0 ── port of hall ── port of anna ── ...
                                      │               │             veth pairs
    host namespaces:                eth0            eth0            10.77.0.1, 10.77.0.2, ...
                                    eth1                            10.77.1.1
                                      │
    switch namespace:  bridge1 ── port of hall ── port of ben ── ...

The machine that the tests run on sees no interface, address or route of it; it has the names of
the namespaces only, which are random, so that two runs do not meet. Each host has a name (a UTS
namespace for each process), and a runtime and a configuration directory of its own, because Unix
sockets cross network namespaces. Needs root and iproute2.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

__all__ = ["Host", "Lan", "Line", "Running", "why_impossible"]

FORGOTTEN = ("REMOTEOBJ_", "MASTERSLAVE_", "PYRO_", "XDG_")
"""Variables that begin so do not reach the hosts."""

Found = TypeVar("Found")


def ip(*arguments: str) -> str:
    """Run ``ip``; what it says about a failure is in the error."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def why_impossible() -> str:
    """Return why such a network cannot be made here; empty if it can."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in ("ip", "unshare") if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian: apt install iproute2 util-linux)"
    try:
        with Lan("probe") as lan:
            lan["probe"].run(["true"])
    except (OSError, subprocess.SubprocessError) as error:
        return f"network namespaces are not permitted here: {error}"
    return ""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that a process wrote, and when it was read (``time.monotonic()``)."""

    at: float
    text: str


class Running:
    """A process on a host; its output is read as it comes.

    Every wait has a deadline, and ends early, with all that was said, if the process does.
    """

    def __init__(self, process: subprocess.Popen[str], title: str) -> None:
        self.process = process
        self.title = title
        self.lines: list[Line] = []
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, name=f"output of {title}", daemon=True)
        self._reader.start()

    def wait_for(self, pattern: str, timeout_s: float = 15.0, *, since: int = 0) -> Line:
        """Wait for a line with this regular expression in it, *since* this number of lines."""
        wanted = re.compile(pattern)
        return self.wait_until(
            lambda lines: next((line for line in lines[since:] if wanted.search(line.text)), None),
            pattern,
            timeout_s,
        )

    def wait_until(
        self, look: Callable[[list[Line]], Found | None], wanted: str, timeout_s: float = 15.0
    ) -> Found:
        """Wait until *look* finds something in the lines, and return that."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while (found := look(self.lines)) is None:
                remaining = deadline - time.monotonic()
                if self._ended or remaining <= 0:
                    why = "it ended" if self._ended else f"{timeout_s:g} s are over"
                    raise AssertionError(f"{self.title}: {why} before {wanted!r}:\n{self.output()}")
                self._changed.wait(remaining)
            return found

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def say_last(self, line: str) -> None:
        """Write a line, and end its standard input."""
        self.say(line)
        assert self.process.stdin is not None
        self.process.stdin.close()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 15.0) -> int:
        """Wait for its end and return the exit code."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.title} has not ended within {timeout_s:g} s:\n{self.output()}"
            ) from None
        self._reader.join(timeout_s)
        return code

    def output(self) -> str:
        """Return what it has said, of lines that begin alike the last one only."""
        lines = [line.text for line in list(self.lines)]
        told = [a for a, b in zip(lines, [*lines[1:], ""], strict=False) if a[:20] != b[:20]]
        return "\n".join(told)

    def close(self) -> None:
        """Kill it and what shares its process group, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close_pipes(self) -> None:
        """Let go of its output; who else has it open must be gone."""
        self._reader.join(2.0)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            with self._changed:
                self.lines.append(Line(time.monotonic(), text.rstrip("\n")))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class Host:
    """One computer; made by :class:`Lan`.

    In network 1 its interface is eth1, and its address 10.77.1.3 if it is the third host.
    """

    def __init__(self, lan: Lan, name: str, number: int, networks: Sequence[int]) -> None:
        self.name = name
        self.networks = tuple(networks)
        self.namespace = f"{lan.prefix}{name}"
        self._lan = lan
        self._number = number
        self._home = Path(tempfile.mkdtemp(prefix=lan.prefix))
        for part in ("run", "config"):
            (self._home / part).mkdir(mode=0o700)

    @property
    def address(self) -> str:
        """Its address in the first of its networks."""
        return self.address_in(self.networks[0])

    def address_in(self, network: int) -> str:
        """Its address in a network."""
        return f"10.77.{network}.{self._number}"

    def connect(self) -> None:
        """Make the namespace, and plug it into its networks."""
        ip("netns", "add", self.namespace)
        self.ip("link", "set", "lo", "up")
        for network in self.networks:
            self.plug_in(network)

    def plug_in(self, network: int) -> None:
        """Give it an interface in a network."""
        switch, port, card = self._lan.switch, self._port(network), f"eth{network}"
        ip("-n", switch, "link", "add", port, "type", "veth",
           "peer", "name", card, "netns", self.namespace)  # fmt: skip
        ip("-n", switch, "link", "set", port, "master", f"bridge{network}", "up")
        self.ip("link", "set", card, "up")
        self.ip("address", "add", f"{self.address_in(network)}/24", "dev", card)

    def move(self, bridge: str, network: int = 0) -> None:
        """Plug its cable of a network into another bridge."""
        ip("-n", self._lan.switch, "link", "set", self._port(network), "master", bridge)

    def unplug(self, network: int) -> None:
        """Take the interface out."""
        self.ip("link", "delete", f"eth{network}")

    def ip(self, *arguments: str) -> str:
        """Run ``ip`` on it."""
        return ip("-n", self.namespace, *arguments)

    def make_bridge(self, name: str, address: str) -> None:
        """Give it a bridge with something on it, as containers have."""
        self.ip("link", "add", name, "type", "bridge", "forward_delay", "0")
        self.ip("link", "add", "veth0", "type", "veth", "peer", "name", "veth1")
        self.ip("link", "set", "veth0", "master", name, "up")
        for link in ("veth1", name):
            self.ip("link", "set", link, "up")
        self.ip("address", "add", address, "dev", name)

    def make_quiet_card(self, name: str, address: str) -> None:
        """Give it an interface that carries no multicast, and leads nowhere."""
        self.ip("link", "add", name, "type", "veth", "peer", "name", f"{name}p")
        self.ip("link", "set", f"{name}p", "up")
        self.ip("link", "set", name, "multicast", "off", "up")
        self.ip("address", "add", address, "dev", name)

    def cut(self, network: int | None = None) -> None:
        """Pull its cable, or all: nobody is told that the connections are dead."""
        for each in self.networks if network is None else (network,):
            ip("-n", self._lan.switch, "link", "set", self._port(each), "down")

    def mend(self, network: int | None = None) -> None:
        """Plug it, or all, in again."""
        for each in self.networks if network is None else (network,):
            ip("-n", self._lan.switch, "link", "set", self._port(each), "up")

    def _port(self, network: int) -> str:
        return f"port{self._number}n{network}"

    def popen(self, command: Sequence[str], **environment: str) -> Running:
        """Start a process on this host; it is killed at the end at the latest."""
        process = subprocess.Popen(
            self._command(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=self._environment(environment),
        )
        running = Running(process, f"{' '.join(command[:4])} on {self.name}")
        self._lan.started.append(running)
        return running

    def python(self, *arguments: str, **environment: str) -> Running:
        """Start the interpreter that runs the tests."""
        return self.popen([sys.executable, *arguments], **environment)

    def run(self, command: Sequence[str], timeout_s: float = 20.0, **environment: str) -> str:
        """Run a command to its end, and return what it printed."""
        done = subprocess.run(
            self._command(command),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            env=self._environment(environment),
        )
        assert done.returncode == 0, f"{command} on {self.name}: {done.stdout}{done.stderr}"
        return done.stdout

    @property
    def config(self) -> Path:
        """Its ``XDG_CONFIG_HOME``."""
        return self._home / "config"

    def forget(self) -> None:
        """Empty its runtime directory, as starting it anew would do."""
        shutil.rmtree(self._home / "run")
        (self._home / "run").mkdir(mode=0o700)

    def listening(self) -> list[str]:
        """Return the addresses, with their ports, at which TCP is listened to."""
        listed = self.run(["ss", "-Hltn"])
        return [line.split()[3] for line in listed.splitlines()]

    def pids(self) -> list[int]:
        """Return the processes that are in its namespace."""
        return [int(pid) for pid in ip("netns", "pids", self.namespace).split()]

    def remove(self) -> None:
        """Remove the namespace and the directories."""
        shutil.rmtree(self._home, ignore_errors=True)
        with contextlib.suppress(OSError):
            ip("netns", "delete", self.namespace)

    def _command(self, command: Sequence[str]) -> list[str]:
        named = 'hostname "$0"; exec "$@"'
        return ["ip", "netns", "exec", self.namespace,
                "unshare", "--uts", "sh", "-c", named, self.name, *command]  # fmt: skip

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(FORGOTTEN)}
        own = {
            "HOME": str(self._home),
            "XDG_RUNTIME_DIR": str(self._home / "run"),
            "XDG_CONFIG_HOME": str(self._home / "config"),
            "PYTHONUNBUFFERED": "1",
        }
        return {**kept, **own, **more}


class Lan:
    """Hosts and their networks, for the length of a ``with`` block.

    Args:
        names: Of the hosts.
        networks: Numbers of the networks that a host is in; without a word, network 0.

    Raises:
        OSError: It cannot be made here.
        AssertionError: At the end: something of it is still there, or a process had outlived the
            one that started it.
    """

    def __init__(self, *names: str, networks: Mapping[str, Sequence[int]] | None = None) -> None:
        self.prefix = f"lan-{secrets.token_hex(3)}-"
        self.switch = f"{self.prefix}switch"
        self.started: list[Running] = []
        self.patience_s = 5.0
        """How long children of a killed process may take to notice it, in seconds."""
        self._networks = {name: (networks or {}).get(name, (0,)) for name in names}
        self._hosts: dict[str, Host] = {}

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts.values())

    def __enter__(self) -> Self:
        try:
            ip("netns", "add", self.switch)
            for network in {0, *(each for few in self._networks.values() for each in few)}:
                bridge = f"bridge{network}"
                # Without a querier on the network, a bridge that snoops drops multicast after a
                # while.
                ip("-n", self.switch, "link", "add", bridge, "type", "bridge",
                   "forward_delay", "0", "mcast_snooping", "0")  # fmt: skip
                ip("-n", self.switch, "link", "set", bridge, "up")
            for number, (name, networks) in enumerate(self._networks.items(), 1):
                host = self._hosts[name] = Host(self, name, number, networks)
                host.connect()
        except BaseException:
            self._remove()
            raise
        return self

    def end_processes(self) -> None:
        """End what runs on the hosts, as at the end of a test that shares them with others."""
        strays = self._end_processes()
        assert not strays, f"outlived the process that started it: {strays}"

    def __exit__(self, kind: object, *_: object) -> None:
        strays = self._remove()
        if kind is None:
            assert not strays, f"outlived the process that started it: {strays}"
            assert not self.leftovers()

    def halve(self, *names: str) -> None:
        """Put these hosts at the other end of a line that can be cut; of network 0."""
        ip("-n", self.switch, "link", "add", "half", "type", "bridge", "forward_delay", "0")
        ip("-n", self.switch, "link", "add", "line0", "type", "veth", "peer", "name", "line1")
        for port, bridge in (("line0", "bridge0"), ("line1", "half")):
            ip("-n", self.switch, "link", "set", port, "master", bridge, "up")
        for name in names:
            self[name].move("half")
        ip("-n", self.switch, "link", "set", "half", "up")

    def cut_line(self) -> None:
        """Cut that line: two halves, and nobody is told."""
        ip("-n", self.switch, "link", "set", "line0", "down")

    def mend_line(self) -> None:
        """Mend it."""
        ip("-n", self.switch, "link", "set", "line0", "up")

    def leftovers(self) -> list[str]:
        """Return what is still there of this network: namespaces, processes, directories."""
        namespaces = [
            line.split()[0]
            for line in ip("netns", "list").splitlines()
            if line.startswith(self.prefix)
        ]
        directories = [str(path) for path in Path(tempfile.gettempdir()).glob(f"{self.prefix}*")]
        alive = [each.title for each in self.started if each.process.poll() is None]
        return namespaces + directories + alive

    def _remove(self) -> list[str]:
        """End and remove everything; returns the command lines of processes that were left."""
        strays = self._end_processes()
        for host in self._hosts.values():
            host.remove()
        with contextlib.suppress(OSError):
            ip("netns", "delete", self.switch)
        return strays

    def _end_processes(self) -> list[str]:
        for running in self.started:
            running.close()
        strays = self._kill_strays()
        for running in self.started:
            running.close_pipes()
        return strays

    def _kill_strays(self) -> list[str]:
        """Give children of what was killed time to notice it, and kill those that do not."""
        deadline = time.monotonic() + self.patience_s
        while (pids := self._pids()) and time.monotonic() < deadline:
            _wait_for_end(pids, deadline)
        strays = [_command_line(pid) for pid in pids]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _wait_for_end(pids, time.monotonic() + self.patience_s)
        return strays

    def _pids(self) -> list[int]:
        pids: list[int] = []
        for host in self._hosts.values():
            with contextlib.suppress(OSError):  # it was not made yet
                pids += host.pids()
        return pids


def _wait_for_end(pids: Sequence[int], deadline: float) -> None:
    """Wait until these processes, which need not be children of ours, have ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            try:
                select.select([handle], [], [], max(0.0, deadline - time.monotonic()))
            finally:
                os.close(handle)


def _command_line(pid: int) -> str:
    try:
        return f"{pid}: {Path(f'/proc/{pid}/cmdline').read_bytes().replace(bytes(1), b' ')!r}"
    except OSError:
        return f"{pid}: gone by now"
