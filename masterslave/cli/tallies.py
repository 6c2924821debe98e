"""What journals hold, counted: for each function, how many results, and how many tasks raised.

A task is *out* while a process has the journal whose run has handed it out. What an earlier run had
out when it ended *was out*: it has no answer, and nothing tells whether a slave goes on with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from masterslave.errors import JournalUnusable
from masterslave.journal.facts import NO_KEY
from masterslave.journal.finished import Finish
from masterslave.journal.fold import Folded
from masterslave.journal.reading import JournalReader
from masterslave.protocol.outcomes import MIXED, RAISED, items_in

__all__ = ["facts_of", "name_of"]


def facts_of(readers: Sequence[JournalReader]) -> dict[str, Any]:
    """Return runs, functions and what was lost, as JSON has them; the newest journal first.

    Blocks: on the disk, for hand-outs in which some items have raised.
    """
    results: Counter[str] = Counter()
    raised: Counter[str] = Counter()
    out: Counter[str] = Counter()
    was_out: Counter[str] = Counter()
    names: set[str] = set()
    keys: set[bytes] = set()
    for reader in readers:
        folded, failures = reader.folded, _Failures(reader)
        for key, finish in folded.finished.items():
            if key not in keys:
                counter = raised if failures.has(finish) else results
                counter[name_of(folded, finish.number)] += 1
        keys |= folded.finished.keys() if len(readers) > 1 else set()
        now, before = _out_of(reader)
        out += Counter(name_of(folded, number) for number in now)
        was_out += Counter(name_of(folded, number) for number in before)
        names |= {one.name for one in folded.functions.values()}
    runs = (began for reader in readers for began in reader.folded.runs)
    return {
        "runs": [
            {"run": began.run, "began": began.at, "host": began.host, "pid": began.pid}
            for began in sorted(runs, key=lambda run: run.at)
        ],
        "functions": [
            {
                "name": name,
                "results": results[name],
                "raised": raised[name],
                "out": out[name],
                "was_out": was_out[name],
            }
            for name in sorted(names)
        ],
        "lost": sum(reader.folded.counts.lost for reader in readers),
    }


def _out_of(reader: JournalReader) -> tuple[list[int], list[int]]:
    """Return the numbers of what is out, and of what was; one for each task."""
    folded, now = reader.folded, dict[bytes, int]()
    before = dict[bytes, int]()
    keyless = list[int]()  # they are of the last run, as ``Folded.out`` says
    is_live = reader.is_in_use()
    for number, one in folded.out.items():
        if one.key == NO_KEY:
            keyless.append(number)
        elif is_live and one.run == folded.run:
            now[one.key] = number
        else:
            before[one.key] = number
    past = [number for key, number in before.items() if key not in now]
    if is_live:
        return [*now.values(), *keyless], past
    return [], [*past, *keyless]


def name_of(folded: Folded, number: int) -> str:
    """Return the name of a task's function; empty: it is not known."""
    found = folded.numbers.find(number)
    known = folded.functions.get(found[0].function) if found else None
    return known.name if known else ""


class _Failures:
    """Knows which answers of a journal are no values; items of one hand-out follow each other."""

    def __init__(self, reader: JournalReader) -> None:
        self._reader = reader
        self._last: tuple[object, frozenset[int]] = None, frozenset()

    def has(self, finish: Finish) -> bool:
        if finish.kind != MIXED:
            return finish.kind == RAISED
        if finish.place != self._last[0]:
            self._last = finish.place, self._read(finish)
        return finish.skip in self._last[1]

    def _read(self, finish: Finish) -> frozenset[int]:
        """Return which items have raised; none if that cannot be read."""
        try:
            items = items_in(self._reader.read(finish.place)) or ()
        except JournalUnusable:
            items = ()
        return frozenset(at for at, item in enumerate(items) if item.kind == RAISED)
