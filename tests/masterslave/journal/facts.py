"""Facts as masters write them, for hypothesis, and as short names."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from masterslave.journal import (
    NO_KEY,
    RUN_BITS,
    Ended,
    Fact,
    Folded,
    FunctionKnown,
    HandedOut,
    Invalidated,
    Journal,
    JournalReader,
    Lost,
    Noted,
    Place,
    RunBegan,
    Settled,
    SlaveKnown,
    Submitted,
)

BASE = 1 << RUN_BITS


def key(number: int) -> bytes:
    return number.to_bytes(16, "big") if number else NO_KEY


def began(run: int, epoch: int = 0) -> RunBegan:
    return RunBegan(run, epoch, 1e9, "host", 1, "0.1", "3.11")


def folded(*facts: Fact) -> Folded:
    result = Folded()
    result.take(facts)
    return result


def known(state: Folded) -> dict[str, Any]:
    """Return all that is known, in a form that can be compared."""
    return {
        "finished": dict(state.finished),
        "out": state.out,
        "runs": state.runs,
        "epoch": state.epoch,
        "slaves": state.slaves,
        "functions": state.functions,
        "ends": state.ends,
        "losses": state.losses,
        "notes": state.notes,
        "counts": state.counts,
        "bytes": state.live_bytes,
        "keys": [(row.first, bytes(row.keys), bytes(row.states)) for row in state.numbers],
    }


_NUMBERS = st.integers(0, 12)
_PLACES = st.builds(Place, st.integers(1, 5), st.integers(0, 100), st.integers(0, 100))


@st.composite
def histories(draw: st.DrawFn) -> list[Fact]:
    """Facts of some runs: most of them as masters write them, and some that none would."""
    facts: list[Fact] = []
    for run in range(1, draw(st.integers(1, 3)) + 1):
        facts.append(began(run, draw(st.integers(0, 2))))
        next_number = run << RUN_BITS
        for _ in range(draw(st.integers(0, 12))):
            task = (draw(st.integers(1, run)) << RUN_BITS) + draw(_NUMBERS)
            attempt, count = draw(st.integers(1, 3)), draw(st.integers(1, 4))
            slave = draw(st.integers(0, 2))
            match draw(st.integers(0, 9)):
                case 0 | 1 | 2:
                    keys = b"".join(key(n) for n in draw(st.lists(_NUMBERS, min_size=1)))
                    facts.append(Submitted(next_number, slave, keys))
                    next_number += len(keys) // 16
                case 3 | 4:
                    facts.append(HandedOut(slave, ((task, attempt, count),)))
                case 5 | 6:
                    place = draw(_PLACES)
                    skip = -1 if count == 1 else draw(st.integers(0, 3))
                    facts.append(Settled(task, attempt, count, skip, 0, place, slave, 0.5))
                case 7:
                    why = draw(st.sampled_from(["cancelled", "failed"]))
                    facts.append(Ended(task, count, why, draw(st.none() | _PLACES)))
                case 8:
                    place_or_none = draw(st.none() | _PLACES)
                    facts.append(Lost(task, attempt, count, slave, "gone", place_or_none))
                case 9:
                    facts.append(Invalidated(b"".join(map(key, draw(st.lists(_NUMBERS))))))
        facts.append(SlaveKnown(run, f"slave{run}", "host"))
        facts.append(FunctionKnown(run, "f", b"identity"))
        facts.append(Noted("kind", bytes([run])))
    return facts


class Work:
    """Does to a journal what a master would, with payloads of its own; knows what is in it."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.results: dict[bytes, bytes] = {}
        self.open: set[int] = set()

    def do(self, journal: Journal, tasks: int, *, largest: int = 300) -> None:
        """Submit tasks, hand all out, and settle most of them."""
        chance, first = self.chance, journal.first_number
        first += journal_tasks(journal)
        keys = [chance.randbytes(16) for _ in range(tasks)]
        journal.record(FunctionKnown(0, "f", b"identity", journal.keep(b"packed")))
        journal.record(Submitted(first, 0, b"".join(keys)))
        journal.record(HandedOut(0, tuple((first + n, 1, 1) for n in range(tasks))))
        for number, each in enumerate(keys):
            if chance.random() < 0.2:
                self.open.add(first + number)
                continue
            payload = chance.randbytes(chance.randrange(1, largest))
            place = journal.keep(payload)
            journal.record(Settled(first + number, 1, 1, -1, 0, place, 0, 0.1))
            self.results[each] = payload


_given: dict[tuple[str, int], int] = {}


def journal_tasks(journal: Journal, count: int = 1 << 20) -> int:
    """Return numbers of this run that nobody has used yet."""
    given = _given.get((str(journal.path), journal.run), 0)
    _given[str(journal.path), journal.run] = given + count
    return given


def results_of(journal: Journal | JournalReader) -> dict[bytes, bytes]:
    """Return all results that can be had."""
    return {key: journal.read(finish.place) for key, finish in journal.folded.finished.items()}


def files_of(path: Path) -> set[str]:
    """Return the names of all files of a journal, without its own."""
    return {each.name.removeprefix(path.name) for each in path.parent.iterdir()} - {""}
