"""Which task is meant: by its number, its key, or its function."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from masterslave.errors import FarmError
from masterslave.journal.facts import KEY_BYTES, RUN_BITS, Ended, Settled
from masterslave.journal.keys import explicit_key
from masterslave.journal.reading import JournalReader
from masterslave.protocol.outcomes import MIXED, RAISED, VALUE, items_in
from masterslave.stories.recorded import function_of

__all__ = ["Failed", "failed_tasks", "find_task", "in_run", "numbers_with"]

_NUMBER = re.compile(r"(?:(\d+):)?(\d+)")
_HEX = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Failed:
    """A task that has no value.

    Attributes:
        why: "raised", or why it has ended otherwise.
    """

    number: int
    function: str
    why: str


def in_run(number: int) -> str:
    """Return a task's number as people write it: its run, and its number there."""
    return f"{number >> RUN_BITS}:{number & (1 << RUN_BITS) - 1}"


def find_task(reader: JournalReader, wanted: str) -> int:
    """Return the number of the task that somebody means.

    Args:
        wanted: Its number as it is shown; its number in the last run, or ``RUN:NUMBER``; its key,
            in hexadecimal digits or as it was given; or the name of a function, which means the
            last of its tasks that failed, else the last one.

    Raises:
        FarmError: There is none.
    """
    folded = reader.folded
    match = _NUMBER.fullmatch(wanted)
    if match is not None:
        number = int(match[2])
        if match[1] is not None or number < 1 << RUN_BITS:
            number += (int(match[1]) if match[1] else _last_run(reader)) << RUN_BITS
        if folded.numbers.find(number) is not None:
            return number
    found = _by_key(reader, wanted)
    if found is None:
        found = _by_function(reader, wanted)
    if found is None:
        raise FarmError(
            f"{reader.path} has no task {wanted!r}: say its number in the last run, or RUN:NUMBER, "
            f"its key, or the name of its function; 'masterslave show {reader.path}' lists those "
            "that failed"
        )
    return found


def _last_run(reader: JournalReader) -> int:
    """Return the last run that has had tasks; commands that change a journal are runs as well."""
    folded = reader.folded
    return max((row.first >> RUN_BITS for row in folded.numbers), default=folded.run)


def _by_key(reader: JournalReader, wanted: str) -> int | None:
    keys = [bytes.fromhex(wanted)] if _HEX.fullmatch(wanted) else []
    keys.append(explicit_key(wanted))
    with contextlib.suppress(ValueError):
        keys.append(explicit_key(int(wanted)))
    for key in keys:
        found = max(numbers_with(reader, key), default=None)
        if found is not None:
            return found
    return None


def numbers_with(reader: JournalReader, key: bytes) -> Iterator[int]:
    """Return the numbers of all tasks with this key."""
    for row in reader.folded.numbers:
        at = -1
        while (at := row.keys.find(key, at + 1)) >= 0:
            if at % KEY_BYTES == 0:
                yield row.first + at // KEY_BYTES


def _by_function(reader: JournalReader, name: str) -> int | None:
    folded = reader.folded
    meant = {index for index, known in folded.functions.items() if known.name == name}
    if not meant:
        return None
    failed = [each.number for each in failed_tasks(reader) if each.function == name]
    if failed:
        return max(failed)
    rows = [row for row in folded.numbers if row.function in meant]
    return max((row.first + len(row.states) - 1 for row in rows), default=None)


def failed_tasks(reader: JournalReader) -> list[Failed]:
    """Return the tasks that have no value, in the order of their numbers; those left out that have
    one in a later run.
    """
    failed: dict[int, str] = {}
    for fact in reader.facts():
        match fact:
            case Settled(kind=kind) if kind != VALUE:
                for number in _raised(reader, fact):
                    failed[number] = "raised"
            case Settled(task=task, count=count):
                for number in range(task, task + count) if failed else ():
                    failed.pop(number, None)
            case Ended(why=why) if why != "cancelled":
                failed.update(dict.fromkeys(range(fact.first, fact.first + fact.count), why))
    finished = reader.folded.finished
    for number in sorted(failed):
        key = reader.folded.key_of(number)
        later = finished.get(key) if key is not None else None
        if later is not None and later.number != number and later.kind != RAISED:
            del failed[number]
    return [
        Failed(number, function_of(reader, number)[0], failed[number]) for number in sorted(failed)
    ]


def _raised(reader: JournalReader, fact: Settled) -> Iterator[int]:
    if fact.kind != MIXED:
        yield from range(fact.task, fact.task + fact.count)
        return
    items = items_in(reader.read(fact.place)) or ()
    for at in range(fact.count):
        if fact.skip + at < len(items) and items[fact.skip + at].kind != VALUE:
            yield fact.task + at
