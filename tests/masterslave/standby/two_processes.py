"""A master's journal, and a copy of it, in processes of their own that may be killed.

    python -m tests.masterslave.standby.two_processes write JOURNAL LEAD SEED
    python -m tests.masterslave.standby.two_processes copy COPY LEAD [LABEL]

In the place of a name server there is a file, LEAD, with the epoch, the successor's id, and where
the master is. The writer says what was acknowledged, one number a line; the copy says how it is.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from pathlib import Path

from masterslave.journal import HandedOut, Journal, Settled, Submitted
from masterslave.journal.copying import Copy
from masterslave.protocol.following import FOLLOW_ID
from masterslave.service.following import FollowDoor
from masterslave.standby import Follower
from remoteobj import URI, ConnectionLost, Daemon, DeadlinePassed

__all__ = ["FOLLOW_S", "FileLead"]

FOLLOW_S = 1.0
SIZES = [1, 10, 100, 700, 6_000]


class FileLead:
    """A lead that a file tells of, which is written in one step."""

    address = trouble = ""

    def __init__(self, path: Path, uri: str = "") -> None:
        self._path = path
        self._uri = uri

    def read(self) -> tuple[int, str, str]:
        """Return the epoch, the successor's id, and where the master is."""
        if not self._path.exists():
            return 0, "", ""
        epoch, successor, uri = json.loads(self._path.read_text())
        return epoch, successor, uri

    def write(self, epoch: int, successor: str) -> None:
        """Write it."""
        fresh = self._path.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps([epoch, successor, self._uri]))
        os.replace(fresh, self._path)

    def take(self) -> int:
        """Have the lead: nobody else wants it."""
        return self.read()[0]

    def name(self, copy_id: str, node: str) -> None:
        """Name a successor."""
        self.write(self.read()[0], copy_id)


def write(path: Path, lead_path: Path, seed: str) -> None:
    """Record tasks, and say which were acknowledged."""
    with Daemon() as daemon:
        lead = FileLead(lead_path, str(daemon.uri_of(FOLLOW_ID)))
        epoch = lead.read()[0] + 1
        lead.write(epoch, "")  # a master that begins goes on alone
        journal = Journal.open(path, "survey", epoch=epoch)
        journal.let_follow(lead, follow_s=FOLLOW_S)
        daemon.register(FollowDoor(journal.following), FOLLOW_ID)
        daemon.start()
        chance, number = random.Random(seed), journal.first_number
        while True:
            count = chance.choice([1, 1, 1, 5, 20])
            keys = [(number + n).to_bytes(16, "big") for n in range(count)]
            journal.record(Submitted(number, 0, b"".join(keys)))
            journal.record(HandedOut(0, ((number, 1, count),)))
            for n in range(count):
                size = chance.choices(SIZES, [50, 50, 50, 1, 1])[0]
                payload = str(number + n).encode() * size
                journal.record(Settled(number + n, 1, 1, -1, 0, journal.keep(payload), 0, 0.1))
            last, done = number + count - 1, threading.Event()
            journal.after(lambda last=last: os.write(1, b"%d\n" % last))
            number += count
            journal.after(done.set)
            if chance.random() < 0.9:
                done.wait()


def copy(path: Path, lead_path: Path, label: str = "survey") -> None:
    """Follow whatever master there is."""
    lead, pause = FileLead(lead_path), threading.Event()
    with Copy.open(path, label) as copy:
        said = ""

        def say() -> None:
            nonlocal said
            state = "in step" if copy.is_in_step else "behind"
            if copy.notice and state != said:
                print(copy.notice, flush=True)
                copy.notice = ""
            if state != said:
                said = state
                print(state, flush=True)

        while True:
            uri = lead.read()[2]
            try:
                if uri:
                    Follower(copy, URI(uri), on_change=say).run()
            except (ConnectionLost, DeadlinePassed):
                copy.is_in_step = False
                say()
            pause.wait(0.02)  # before it is tried again


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "write":
        write(Path(arguments[0]), Path(arguments[1]), arguments[2])
    else:
        copy(Path(arguments[0]), Path(arguments[1]), *arguments[2:])
