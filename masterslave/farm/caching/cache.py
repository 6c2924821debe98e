"""The results of ``cache=True``, as one farm has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from masterslave.farm.caching import volumes
from masterslave.farm.caching.keeper import Keeper
from masterslave.farm.caching.places import folder_of, script_here
from masterslave.farm.resuming import Resuming, Source
from masterslave.farm.spans import ItemSpan, RestOfSpan
from masterslave.farm.travelling import LocalCode
from masterslave.journal.facts import Place
from masterslave.journal.finished import Finish
from masterslave.journal.journal import Journal
from masterslave.journal.reading import JournalReader
from masterslave.master.submission import Answer, Recorded
from masterslave.packed import PICKLED
from masterslave.protocol.outcomes import MIXED, items_in

__all__ = ["Cache"]


class Cache(Resuming):
    """Finds what earlier runs had, and keeps the values of this one.  Threads: any.

    Args:
        limit: Bytes that the results of all scripts of this user may take.
        data_only: Whether results that only pickle can read are refused.

    Attributes:
        script: Whose results they are.

    Raises:
        JournalUnusable: and ``OSError``: it cannot be had.

    Blocks: on the disk, for seconds where there are millions of results.
    """

    def __init__(
        self,
        code: LocalCode,
        handlers: Mapping[str, type[Any]],
        *,
        limit: int,
        data_only: bool,
    ) -> None:
        self.script = script_here()
        self._data_only = data_only
        self._used: set[Path] = set()
        folder = folder_of(self.script)
        self._keeper = Keeper(folder, self.script, limit=limit, data_only=data_only)
        self.keep = self._keeper.keep_single
        own = self._keeper.volume
        self._readers = volumes.open_to_read(folder, own.path)
        super().__init__(
            [self._source(own), *map(self._source, self._readers)],
            code,
            handlers,
            wait_for_room=lambda _: True,
        )

    def close(self) -> None:
        """Write what waits. Blocks: on the disk."""
        self._keeper.close()
        for reader in self._readers:
            reader.close()
        for path in self._used:
            volumes.note_use(path)

    # What is in it.

    def _source(self, volume: Journal | JournalReader) -> Source:
        def read(place: Place) -> bytes:
            used.add(path)
            return volume.read(place)

        used, path = self._used, volume.path
        return Source(volume.folded.finished, volume.folded.slaves, read)

    def _value_of(self, source: Source, finish: Finish) -> Recorded | None:
        answer = super()._value_of(source, finish)
        if answer is None or not self._data_only:
            return answer
        payload = answer.payload()
        if answer.kind == MIXED:
            payload = (items_in(payload) or ())[answer.skip].payload
        return None if payload[:1] == PICKLED else answer

    # What goes into it.

    def _rest_of(self, span: ItemSpan, places: Sequence[int], keys: bytes) -> RestOfSpan:
        rest = _KeptRest(span, places, keys)
        rest.keep = self._keeper.keep_items
        return rest

    def _whole_of(self, span: ItemSpan) -> Sequence[ItemSpan]:
        return (self._rest_of(span, range(span.count), span.keys),)


class _KeptRest(RestOfSpan):
    """Items whose values are kept."""

    keep: Callable[[ItemSpan, int, int, Answer, int], None]

    def settle(self, offset: int, count: int, answer: Answer, skip: int, slave: str) -> None:
        self.keep(self, offset, count, answer, skip)
        super().settle(offset, count, answer, skip, slave)
