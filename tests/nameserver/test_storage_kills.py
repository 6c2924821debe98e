"""``kill -9`` of a name server at any moment: what it has acknowledged is there when it is back.

``make soak`` does it fifty times, each time while 10,000 names are registered; the tests do it for
seconds.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nameserver import NameServerClient, SqliteStorage
from nameserver.storage import Entry
from remoteobj import ConnectionLost, DeadlinePassed
from tests.conftest import StartScript, eventually

KILLS = int(os.environ.get("KILLS", "3"))
REGISTRATIONS = int(os.environ.get("REGISTRATIONS", "10000" if KILLS > 3 else "1500"))
"""In each life of the server, if it were not killed."""

SEED = int(os.environ.get("SEED", time.time_ns() % 10**6))
CALLERS, NAMES = 3, 400
KILLS_OF_A_FILE = 10

SERVER = """
import sys, threading, warnings
warnings.simplefilter("ignore")
from nameserver import NameServer, SqliteStorage
storage = SqliteStorage(sys.argv[1])
server = NameServer("127.0.0.1", insecure=True, announce=False, storage=storage)
server.start()
print(server.address, flush=True)
threading.Event().wait()
"""

State = tuple[str, frozenset[str], bool] | None
"""URI, metadata, and whether it has a lease; None: not there."""


@dataclass
class Caller:
    """Registers names of its own, one after another, and knows what it was told."""

    prefix: str
    chance: random.Random
    known: dict[str, State] = field(default_factory=dict)
    acknowledged: int = 0
    unsure: tuple[str, State] | None = None
    """The name of the call that had no answer, and what it would have made of it."""

    failure: BaseException | None = None

    def work(self, address: str, count: int) -> None:
        """Register until the server is gone."""
        client = NameServerClient(address, insecure=True, quiet=True)
        with client:
            try:
                for _ in range(count):
                    self.make_change(client)
            except (ConnectionLost, DeadlinePassed):
                pass
            except BaseException as error:
                self.failure = error

    def make_change(self, client: NameServerClient) -> None:
        name = f"{self.prefix}.n{self.chance.randrange(NAMES)}"
        before = self.known.get(name)
        how = self.chance.choice(["register", "register", "register", "remove", "set metadata"])
        tags = frozenset({f"tag{self.chance.randrange(9)}"})
        if before is not None and how == "remove":
            self.unsure = name, None
            assert client.remove(name)
        elif before is not None and how == "set metadata":
            self.unsure = name, (before[0], tags, before[2])
            client.set_metadata(name, tags)
        else:
            uri = f"PYRO:obj_{self.chance.getrandbits(64)}@127.0.0.1:4711"
            lease_s = self.chance.choice([None, 3600.0])  # which nobody renews before the end
            self.unsure = name, (uri, tags, lease_s is not None)
            client.register(name, uri, metadata=tags, lease_s=lease_s, replace=True)
        self.known[name] = self.unsure[1]
        self.unsure = None
        self.acknowledged += 1

    def compare(self, held: dict[str, State]) -> None:
        """Check what is held, and take in what became of the call that had no answer."""
        if self.unsure is not None:
            name, after = self.unsure
            found = held.get(name)
            assert found in (self.known.get(name), after), f"{name}: half a change"
            self.known[name], self.unsure = found, None
        known = {name: state for name, state in self.known.items() if state is not None}
        its = {name: state for name, state in held.items() if name.startswith(f"{self.prefix}.")}
        assert its == known


def state_of(entry: Entry) -> State:
    record, lease = entry
    return str(record.uri), record.metadata, lease is not None


@pytest.mark.parametrize("turn", range(-(-KILLS // KILLS_OF_A_FILE)))
def test_what_was_acknowledged_survives_a_kill(
    turn: int, tmp_path: Path, start_script: StartScript, capsys: pytest.CaptureFixture[str]
) -> None:
    path, seed, began = tmp_path / "names", SEED + 100 * turn, time.monotonic()
    chance = random.Random(seed)
    callers = [Caller(f"caller{n}", random.Random(seed + n)) for n in range(CALLERS)]
    kills = min(KILLS_OF_A_FILE, KILLS - turn * KILLS_OF_A_FILE)
    unanswered = 0
    for kill in range(kills):
        server = start_script("-c", SERVER, str(path))
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        assert listed_by(address) == {
            name: state[0] for caller in callers for name, state in caller.known.items() if state
        }
        with all_at_work(callers, address):
            acknowledge(callers, chance.randrange(REGISTRATIONS - 50))
            threading.Event().wait(chance.random() * 0.005)
            server.kill()
            server.wait()
        unanswered += sum(caller.unsure is not None for caller in callers)
        with closing(SqliteStorage(path)) as storage:
            held = {entry[0].name: state_of(entry) for entry in storage.load().entries}
        for caller in callers:
            assert caller.failure is None, f"SEED={SEED}, kill {kill}: {caller.failure!r}"
            caller.compare(held)
    with capsys.disabled():
        print(
            f"\n  {kills} kills: none of {sum(caller.acknowledged for caller in callers)} "
            f"acknowledged changes was lost, {unanswered} had no answer; "
            f"{time.monotonic() - began:.1f} s, SEED={SEED}"
        )


def listed_by(address: str) -> dict[str, str]:
    with NameServerClient(address, insecure=True, quiet=True) as client:
        return {record.name: str(record.uri) for record in client.list("caller")}


@contextmanager
def all_at_work(callers: list[Caller], address: str) -> Iterator[None]:
    """Have all register in threads, which end with the server."""
    share = REGISTRATIONS // CALLERS
    threads = [threading.Thread(target=each.work, args=(address, share)) for each in callers]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()


def acknowledge(callers: list[Caller], count: int) -> None:
    """Wait until so many more changes are acknowledged."""
    before = sum(caller.acknowledged for caller in callers)
    eventually(
        lambda: sum(caller.acknowledged for caller in callers) >= before + count,
        f"registrations (SEED={SEED})",
        timeout_s=60.0,
    )
