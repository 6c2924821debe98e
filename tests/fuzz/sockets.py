"""The same through sockets, at a daemon and an open port for joining, while a member calls.

python -m tests.fuzz.sockets --inputs 20000 --seed 7
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import logging
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from nameserver.pairing.host import Host
from nameserver.pairing.joining import join_by_token
from nameserver.pairing.token import Token, read_token
from remoteobj import Daemon, Identity, Proxy, Settings, expose
from remoteobj.identity.office import found_cluster
from remoteobj.identity.store import Store
from tests.fuzz.handshakes import first_words_of_strangers
from tests.fuzz.mutating import mutate
from tests.fuzz.pairing import Cluster, messages_of
from tests.fuzz.parsers import frames_of_peers

__all__ = ["Attack", "attack"]

IN_TIME_S = 3.0
BOUNDS = {"rss_mib": 24, "used_mib": 4, "threads": 8, "fds": 8}
"""What it may have more at the end. More of the heap in use would be a leak; what is resident
beside it are the gaps that glibc keeps in the heaps of threads (docs/critiques.md).
"""
_PATIENCE_S = 0.2


class _Heap(ctypes.Structure):
    """What ``mallinfo2`` tells, in bytes."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks"),
            *("uordblks", "fordblks", "keepcost"),
        )
    )


def _used_mib() -> int:
    """Return what of the heap is in use; 0 where the system's library does not tell."""
    try:
        tell = ctypes.CDLL(None).mallinfo2
    except (OSError, AttributeError, TypeError):
        return 0
    tell.restype = _Heap
    heap = tell()
    return int(heap.uordblks + heap.hblkhd) >> 20


class Noted(logging.Handler):
    """Keeps the first errors that are logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.errors) < 20:
            self.errors.append(self.format(record))


class Warden:
    """Tells how its process is."""

    def __init__(self) -> None:
        self._noted = Noted()
        logging.getLogger().addHandler(self._noted)

    @expose
    def echo(self, value: Any) -> Any:
        return value

    @expose
    def state(self) -> dict[str, Any]:
        gc.collect()
        with open("/proc/self/statm", encoding="ascii") as file:
            rss_mib = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") >> 20
        return {
            "rss_mib": rss_mib,
            "used_mib": _used_mib(),
            "threads": threading.active_count(),
            "fds": len(os.listdir("/proc/self/fd")),
            "errors": self._noted.errors,
        }


def serve() -> None:
    """Serve until standard input ends; the URI and two tokens are printed."""
    found_cluster("lab", name="hall", now=time.time())
    settings = Settings(handshake_timeout_s=1.0, send_timeout_s=2.0)
    with (
        contextlib.closing(
            Host(Store.of("lab"), "127.0.0.1", port=0, hosts=lambda: ["127.0.0.1"], announce=False)
        ) as host,
        Daemon("127.0.0.1", identity=Identity.stored("lab"), settings=settings) as daemon,
    ):
        uri = daemon.register(Warden(), "it")
        daemon.start()
        tokens = [host.invite("member", 5, 3600.0).text() for _ in range(2)]
        print(json.dumps([str(uri), *tokens]), flush=True)
        sys.stdin.read()


@dataclass
class Attack:
    """Where, with what, and what came of it."""

    identity: Identity
    uri: str
    token: Token
    seed: int
    inputs: int = 0
    answers: int = 0
    calls: int = 0
    slowest_s: float = 0.0
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._daemon = int(self.uri.rpartition(":")[2])
        self._hellos = first_words_of_strangers(self.identity.client_context())
        self._frames = frames_of_peers()
        self._joining = messages_of(Cluster())
        self._member = self.identity.client_context()
        self._guest = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._guest.check_hostname, self._guest.verify_mode = False, ssl.CERT_NONE

    def strike(self, number: int) -> int:
        """Make one connection, and say something broken on it; returns how many inputs it was."""
        chance = Random(f"{self.seed}/{number}")
        kind = chance.randrange(10)
        port = self.token.port if kind in (0, 1, 2) else self._daemon
        source = (f"127.0.1.{1 + number % 250}", 0)  # of one address only so many are heard
        said = 1
        with socket.create_connection(("127.0.0.1", port), _PATIENCE_S * 5, source) as plain:
            plain.settimeout(_PATIENCE_S)
            if kind in (0, 1):
                with self._guest.wrap_socket(plain) as secured:
                    secured.recv(1 << 14)
                    secured.sendall(mutate(chance, self._joining))
                    self._read_on(secured)
            elif kind == 9:
                with self._member.wrap_socket(plain) as secured:
                    said = chance.choice((1, 3, 10))
                    hello = self._frames[0]
                    secured.sendall(hello if chance.randrange(2) else mutate(chance, [hello]))
                    for _ in range(said):
                        secured.sendall(mutate(chance, self._frames))
                    self._read_on(secured)
            else:
                plain.sendall(mutate(chance, self._hellos))
                if chance.randrange(3):
                    plain.shutdown(socket.SHUT_WR)
                    self._read_on(plain)
        return said

    def _read_on(self, sock: socket.socket) -> None:
        while sock.recv(1 << 14):
            with self._lock:
                self.answers += 1

    def attack(self, numbers: Iterator[int], is_over: threading.Event, most: int) -> None:
        while not is_over.is_set() and self.inputs < most:
            with self._lock:
                number = next(numbers)
            said = 1
            with contextlib.suppress(OSError):
                said = self.strike(number)
            with self._lock:
                self.inputs += said

    def call(self, is_over: threading.Event) -> None:
        """Be a member that calls, over one connection and over new ones."""
        try:
            with Proxy(self.uri, identity=self.identity) as proxy:
                while not is_over.is_set():
                    with Proxy(self.uri, identity=self.identity) as newcomer:
                        for each in (proxy, newcomer):
                            begun = time.monotonic()
                            assert each.echo(["x", self.calls]) == ["x", self.calls]
                            self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
                            self.calls += 1
                    is_over.wait(0.005)
        except Exception as error:
            self.complaints.append(f"the member: {type(error).__name__}: {error}")
            is_over.set()

    def state(self) -> dict[str, Any]:
        with Proxy(self.uri, identity=self.identity) as proxy:
            state: dict[str, Any] = proxy.state()
            return state

    def __str__(self) -> str:
        grown = {key: f"{self.before[key]} -> {self.after.get(key)}" for key in BOUNDS}
        return (
            f"{self.inputs} inputs through sockets in {self.seconds:.1f} s, {self.answers} times "
            f"something was answered; {self.calls} calls of a member beside them, the slowest "
            f"{self.slowest_s * 1000:.0f} ms; {grown}; "
            + ("; ".join(self.complaints) or "no complaint")
        )


def attack(folder: Path, inputs: int, seed: int) -> Attack:
    """Start the server, throw *inputs* at it, and see whether it has taken harm."""
    environment = {**os.environ, "XDG_CONFIG_HOME": str(folder / "host")}
    os.environ["XDG_CONFIG_HOME"] = str(folder / "member")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fuzz.sockets", "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        uri, *tokens = json.loads(process.stdout.readline())
        joined = join_by_token(read_token(tokens[0]), name="anna")
        made = Attack(joined.identity, uri, read_token(tokens[1]), seed)
        _attack(made, inputs)
        os.environ["XDG_CONFIG_HOME"] = str(folder / "last")
        join_by_token(made.token, name="ben")  # whoever is invited still gets in
        process.stdin.close()
        code = process.wait(20)
        if code:
            made.complaints.append(f"the server ended with {code}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    return made


def _attack(made: Attack, inputs: int) -> None:
    over, begun = threading.Event(), time.monotonic()
    numbers = iter(range(sys.maxsize))
    member = threading.Thread(target=made.call, args=(over,))
    member.start()
    quiet = made.state()
    for most in (inputs // 10, inputs):
        threads = [
            threading.Thread(target=made.attack, args=(numbers, over, most)) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        state = _settled(made, quiet)
        made.before, made.after = made.before or state, state
    over.set()
    member.join()
    made.seconds = time.monotonic() - begun
    made.complaints += made.after["errors"]
    made.complaints += [
        f"{key}: {made.before[key]} before, {made.after[key]} after"
        for key, most in BOUNDS.items()
        if made.after[key] - made.before[key] > most
    ]
    if made.slowest_s > IN_TIME_S:
        made.complaints.append(f"a call of the member took {made.slowest_s:.1f} s")


def _settled(made: Attack, quiet: dict[str, Any]) -> dict[str, Any]:
    """Ask how it is, until what has been left is gone as at first, or that takes too long."""
    until, tick = time.monotonic() + 15.0, threading.Event()
    state = made.state()
    while time.monotonic() < until and any(
        state[key] - quiet[key] > BOUNDS[key] for key in ("fds", "threads")
    ):
        tick.wait(0.05)
        state = made.state()
    return state


def main() -> int:
    """Run as a script."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.sockets", description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=502)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve()
        return 0
    with tempfile.TemporaryDirectory(prefix="ro-") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        made = attack(Path(folder), given.inputs, given.seed)
    print(made)
    return bool(made.complaints)


if __name__ == "__main__":
    sys.exit(main())
