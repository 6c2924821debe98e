"""Two processes that would lead, and a name server that is killed, stopped, and forgets."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import pytest

from tests.conftest import PATIENCE_S, StartScript, eventually
from tests.masterslave.leading.contender import LEASE_S

FARM, A, B = "0f" * 8, "a" * 16, "b" * 16

SERVER = """
import sys, threading, warnings
warnings.simplefilter("ignore")
from nameserver import MemoryStorage, NameServer, SqliteStorage
import nameserver.discovery
print("is there", flush=True)
sys.stdin.readline()
storage = SqliteStorage(sys.argv[2]) if sys.argv[2:] else MemoryStorage()
server = NameServer("127.0.0.1", int(sys.argv[1]), insecure=True, announce=False, storage=storage)
server.start()
print(server.address, flush=True)
threading.Event().wait()
"""


@dataclass
class Contender:
    """A process that would lead, and what it has said."""

    process: subprocess.Popen[str]
    acted: Path
    lines: SimpleQueue[str] = field(default_factory=SimpleQueue)

    def __post_init__(self) -> None:
        Thread(target=self._read, daemon=True).start()

    def expect(self, beginning: str) -> str:
        """Return the next line, which begins so."""
        line = self.lines.get(timeout=PATIENCE_S)
        assert line.startswith(beginning), line
        return line

    def name(self, successor: str) -> None:
        """Have it name a successor."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{successor}\n")
        self.process.stdin.flush()
        self.expect(f"said {successor}")

    def moments(self) -> list[tuple[float, int]]:
        """Return when it acted, and in which epoch."""
        *whole, _ = self.acted.read_text().split("\n")
        return [(float(at), int(epoch)) for at, epoch in map(str.split, whole)]

    def last_moment(self) -> float:
        """Return when it acted last."""
        return self.moments()[-1][0]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.strip())


@pytest.fixture
def contend(start_script: StartScript, tmp_path: Path) -> Callable[[str, str], Contender]:
    def contend(address: str, copy: str) -> Contender:
        acted = tmp_path / f"{copy}.acted"
        module = "tests.masterslave.leading.contender"
        return Contender(start_script("-m", module, address, str(acted), FARM, copy), acted)

    return contend


def test_never_two_act(
    start_script: StartScript, contend: Callable[[str, str], Contender], tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = str(tmp_path / "names.db")

    def prepare(*storage: str) -> subprocess.Popen[str]:
        """Start a name server, which serves when it is told to: it is away for a moment only."""
        hall = start_script("-c", SERVER, str(port), *storage)
        assert hall.stdout is not None
        assert hall.stdout.readline()
        return hall

    def serve(hall: subprocess.Popen[str]) -> subprocess.Popen[str]:
        assert hall.stdin is not None
        assert hall.stdout is not None
        hall.stdin.write("\n")
        hall.stdin.flush()
        assert hall.stdout.readline()
        return hall

    hall = serve(prepare(file))
    anna = contend(f"127.0.0.1:{port}", A)
    anna.expect("leads 1")
    ben = contend(f"127.0.0.1:{port}", B)
    anna.name(B)

    # The holder is stopped for longer than its lease, and goes on after that.
    anna.process.send_signal(signal.SIGSTOP)
    stopped_at = time.monotonic()
    ben.expect("leads 2")
    succeeded_s = time.monotonic() - stopped_at
    assert succeeded_s < 1.5 * LEASE_S
    ben.name(A)
    anna.process.send_signal(signal.SIGCONT)
    anna.expect("lost")

    # The name server is killed: who leads goes on, and nobody else comes.
    for storage in ((file,), ()):
        following = prepare(*storage)
        hall.kill()
        hall.wait()
        hall, since = serve(following), time.monotonic()
        eventually(partial(acts_on, ben, since), "the holder acts on, longer than its lease")

    # It is stopped, longer than the lease: the holder stops, by its own clock.
    hall.send_signal(signal.SIGSTOP)
    stopped_at = time.monotonic()
    _, at, why = ben.expect("lost").split(" ", 2)
    assert "could not be renewed in time" in why
    assert float(at) - stopped_at < LEASE_S, "it was told before anybody else may lead"
    acted_s = ben.last_moment() - stopped_at
    assert acted_s < 0.75 * LEASE_S
    print(
        f"\n  a holder is stopped: succeeded after {succeeded_s:.2f} s; the name server is: the "
        f"holder acts for another {acted_s:.2f} s"
    )
    hall.send_signal(signal.SIGCONT)
    eventually(lambda: not (anna.lines.empty() and ben.lines.empty()), "somebody leads again")
    third = anna if ben.lines.empty() else ben
    third.expect("leads 3")
    eventually(lambda: third.moments()[-1][1] == 3, "it acts")
    assert_never_two(anna.moments(), ben.moments())


def acts_on(contender: Contender, since: float) -> bool:
    """Tell whether somebody acts longer than a lease that was renewed before that moment."""
    return contender.last_moment() > since + LEASE_S


def assert_never_two(*acted: list[tuple[float, int]]) -> None:
    """Fail where two acted in turns within one epoch, or went back to an older one."""
    in_order = sorted(
        (at, epoch, number) for number, moments in enumerate(acted) for at, epoch in moments
    )
    epochs = [epoch for _, epoch, _ in in_order]
    assert epochs == sorted(epochs), "who was succeeded acted on"
    holders = {(epoch, number) for _, epoch, number in in_order}
    assert len(holders) == len(set(epochs)), f"two had one epoch: {sorted(holders)}"
