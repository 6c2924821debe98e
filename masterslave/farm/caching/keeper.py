"""Keeping values for later runs: each is written into a volume as it comes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from masterslave.errors import JournalUnusable
from masterslave.farm.caching import volumes
from masterslave.farm.futures import FarmFuture
from masterslave.farm.spans import ItemSpan
from masterslave.journal.facts import KEY_BYTES, NO_KEY, FunctionKnown, Place, Settled, Submitted
from masterslave.journal.journal import Journal
from masterslave.journal.writing import MAX_WAITING_BYTES
from masterslave.master.submission import Answer, Function
from masterslave.packed import PICKLED
from masterslave.protocol.outcomes import MIXED, VALUE, Outcome, items_in

__all__ = ["Keeper"]

_VOLUMES = 16
_RESULT_BYTES = 150  # what one takes in the file beside its payload, about
_CLOSE_S = 2.0  # where the disk is full, nobody waits for long

log = logging.getLogger("masterslave")


class Keeper:
    """Writes values into volumes; a full one is followed by another.  Threads: any.

    What cannot be written is not kept: no task waits for the disk.

    Args:
        folder: Where the volumes are.
        limit: Bytes that the results of all scripts of this user may take.
        data_only: Whether results that only pickle can read are refused.

    Attributes:
        volume: The one that is written to now.

    Raises:
        JournalUnusable: and ``OSError``: none can be had.
    """

    volume: Journal
    _room: int
    _next: int
    _next_function: int
    _functions: dict[bytes, int]
    _kept: tuple[Outcome, Place] | None

    def __init__(self, folder: Path, script: Path, *, limit: int, data_only: bool) -> None:
        self._folder = folder
        self._script = script
        self._limit = limit
        self._data_only = data_only
        self._trouble = ""
        self._lock = threading.Lock()
        self._first: Journal | None = None
        self._begin(self._open())

    def close(self) -> None:
        """Write what waits. Blocks: on the disk."""
        with self._lock:
            self._trouble = self._trouble or "it is closed"
            self.volume.close(_CLOSE_S)
            if self._first is not None:
                self._first.close(_CLOSE_S)

    def keep_single(self, future: FarmFuture[Any], answer: Answer) -> None:
        """A task has its answer."""
        if isinstance(answer, Outcome) and self._is_kept(answer.kind, answer.payload):
            self._keep(future.function, future.keys, answer, -1)

    def keep_items(
        self, span: ItemSpan, offset: int, count: int, answer: Answer, skip: int
    ) -> None:
        """Items of a span have their answer; the arguments are as of ``Span.settle``."""
        if not isinstance(answer, Outcome):
            return
        wanted: Sequence[bool] = [self._is_kept(answer.kind, answer.payload)] * count
        if answer.kind == MIXED:
            items = (items_in(answer.payload) or ())[skip : skip + count]
            wanted = [self._is_kept(one.kind, one.payload) for one in items]
        keys = span.keys[KEY_BYTES * offset : KEY_BYTES * (offset + count)]
        for first, many in _rows(keys, wanted):
            part = keys[KEY_BYTES * first : KEY_BYTES * (first + many)]
            self._keep(span.function, part, answer, skip + first)

    def _is_kept(self, kind: int, payload: bytes) -> bool:
        return kind == VALUE and not (self._data_only and payload[:1] == PICKLED)

    def _keep(self, function: Function, keys: bytes, outcome: Outcome, skip: int) -> None:
        """Write down the values of tasks in a row; *skip* is -1 of a single one."""
        if not keys or keys == NO_KEY:
            return
        with self._lock:
            if self._trouble or self.volume.waiting_bytes > MAX_WAITING_BYTES:
                return  # it is had again
            if self._room < 0:
                self._go_on_afresh()
            volume = self.volume
            if self._kept is None or self._kept[0] is not outcome:  # its parts come in a row
                self._kept = outcome, volume.keep(outcome.payload)
                self._room -= len(outcome.payload)
            count = len(keys) // KEY_BYTES
            index = self._functions.get(function.digest)
            if index is None:
                index = self._functions[function.digest] = self._next_function
                self._next_function += 1
                volume.record(FunctionKnown(index, function.name, function.digest))
            first, self._next = self._next, self._next + count
            volume.record(Submitted(first, index, keys, are_items=skip >= 0))
            volume.record(
                Settled(first, 1, count, skip, outcome.kind, self._kept[1], -1, outcome.seconds)
            )
            self._room -= _RESULT_BYTES * count

    def _open(self, *, afresh: bool = False) -> Journal:
        volume = volumes.open_to_write(
            self._folder, self._script, self._limit // _VOLUMES, self._note_trouble, afresh=afresh
        )
        for notice in volume.notices:
            log.warning("%s", notice)
        return volume

    def _begin(self, volume: Journal) -> None:
        """Begin to write to a volume."""
        self.volume = volume
        self._room = self._limit // _VOLUMES - volumes.size_of(volume.path)
        self._next = volume.first_number
        self._functions = {}
        self._next_function = max(volume.folded.functions, default=-1) + 1
        self._kept = None
        volumes.forget_oldest(self._limit)

    def _go_on_afresh(self) -> None:
        """Go on in another volume; what was found in the first one may still be asked for."""
        try:
            fresh = self._open(afresh=True)
        except (JournalUnusable, OSError) as error:
            self._note_trouble(str(error))
            return
        if self._first is None:
            self._first = self.volume
        else:
            self.volume.close(_CLOSE_S)
        self._begin(fresh)

    def _note_trouble(self, trouble: str | None) -> None:
        if trouble is not None and not self._trouble:
            self._trouble = trouble
            log.warning("results are not cached any more: %s", trouble)


def _rows(keys: bytes, wanted: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Return the rows of those that are wanted and have a key: the first, and how many."""
    at = 0
    places = range(len(wanted))
    for is_kept, row in groupby(
        places,
        lambda place: wanted[place] and keys[KEY_BYTES * place : KEY_BYTES * (place + 1)] != NO_KEY,
    ):
        count = len([*row])
        if is_kept:
            yield at, count
        at += count
