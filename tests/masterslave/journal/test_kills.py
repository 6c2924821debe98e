"""``kill -9`` of a master at any moment: what its journal has acknowledged is there afterwards."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

from masterslave.journal import Journal
from masterslave.journal.facts import RUN_BITS
from tests.conftest import StartScript

KILLS = int(os.environ.get("KILLS", "4"))
SEED = int(os.environ.get("SEED", time.time_ns() % 10**6))

WRITE = """
import os, random, sys, threading
from masterslave.journal import HandedOut, Journal, Settled, Submitted
journal = Journal.open(sys.argv[1], "survey")
chance, number = random.Random(sys.argv[2]), journal.first_number
sizes = [1, 10, 100, 1000, 70_000, 300_000]
while True:
    count = chance.choice([1, 1, 1, 5, 200])
    keys = [(number + n).to_bytes(16, "big") for n in range(count)]
    journal.record(Submitted(number, 0, b"".join(keys)))
    journal.record(HandedOut(0, ((number, 1, count),)))
    for n in range(count):
        size = chance.choices(sizes, [50, 50, 50, 20, 1, 1])[0]
        payload = str(number + n).encode() * size
        journal.record(Settled(number + n, 1, 1, -1, 0, journal.keep(payload), 0, 0.1))
    last = number + count - 1
    journal.after(lambda last=last: os.write(1, b"%d\\n" % last))
    number += count
    journal.wait_for_room()
    if chance.random() < 0.2:
        done = threading.Event()
        journal.after(done.set)
        done.wait()
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, start_script: StartScript) -> None:
    path, chance = tmp_path / "survey.db", random.Random(SEED)
    last_of_run: dict[int, int] = {}
    for kill in range(KILLS):
        process = start_script("-c", WRITE, str(path), f"{SEED} {kill}")
        assert process.stdout is not None
        acknowledged = [process.stdout.readline()]
        threading.Timer(chance.random() * 0.5, process.kill).start()
        acknowledged += process.stdout.readlines()
        process.wait()
        last = max(int(line) for line in acknowledged if line.endswith("\n"))
        last_of_run[last >> RUN_BITS] = last
        check(path, last_of_run, f"SEED={SEED}, kill {kill}")
    assert len(last_of_run) == KILLS


def check(path: Path, last_of_run: dict[int, int], seed: str) -> None:
    with Journal.open(path, "survey") as journal:
        assert journal.notices == (), seed
        assert journal.run > max(last_of_run), seed
        finished = journal.folded.finished
        for run, last in last_of_run.items():
            for number in range(run << RUN_BITS, last + 1):
                assert number.to_bytes(16, "big") in finished, f"{seed}: {number} is missing"
        for finish in finished.values():
            text = str(finish.number).encode()
            payload = journal.read(finish.place)
            assert payload == text * (len(payload) // len(text)), seed
