"""The trace of a run: all that the scheduler has heard, in a ring of bounded size.

Fed to a fresh scheduler, the events of a trace that still has its beginning give the same orders
again: it is a report of a bug, and a test. It is off unless asked for.

::

    FILE.trace        the latest events        each part:  header, then frames
    FILE.trace.1      those before them        each frame: length, checksum, (now, name, event)
                                               or what was decided: (now, "", checksum of orders)

When the newer part is full it takes the place of the older one. Each event is in the system's hands
before the next one comes, so a killed process leaves all of them; a machine that loses its power
may lose the last.
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from masterslave.errors import JournalUnusable
from masterslave.journal.database import beside
from remoteobj.unreadable import UNREADABLE

__all__ = ["MAX_TRACE_BYTES", "Stretch", "Trace", "checksum_of", "read_trace"]

MAX_TRACE_BYTES = 64 * 1024 * 1024

_FORMAT = 1
_FRAME = struct.Struct("<II")
_PARTS = (".trace.1", ".trace")  # the older one first

_log = logging.getLogger("masterslave")


class _Header(Struct, frozen=True, array_like=True):
    format: int
    run: int
    first: int
    about: dict[str, Any] = {}


def _builtin(value: object) -> object:
    if isinstance(value, range):  # of tasks: what reads it takes any sequence
        return list(value)
    if isinstance(value, type):  # which exceptions are retried: the scheduler does not look at it
        return value.__qualname__
    raise TypeError(f"{type(value).__name__} cannot be traced")


_encode = msgspec.msgpack.Encoder(enc_hook=_builtin).encode
_spell = msgspec.msgpack.Encoder(enc_hook=_builtin, order="deterministic").encode


def checksum_of(orders: Sequence[Struct]) -> int:
    """Return a checksum of what a scheduler has decided, the same in each process."""
    return zlib.crc32(_spell([(type(order).__name__, order) for order in orders]))


class Trace:
    """Writes the trace of a run.

    Args:
        journal: Path of the journal, beside which it lies.
        about: What else a reader has to know, such as the scheduler's settings.
        max_bytes: Of both parts together.

    Attributes:
        failure: Why nothing is traced any more; empty while it is. A trace never stops a farm.

    Raises:
        OSError: It cannot be made.

    Threads: one at a time.
    """

    def __init__(
        self,
        journal: Path,
        run: int,
        *,
        about: Mapping[str, Any] | None = None,
        max_bytes: int = MAX_TRACE_BYTES,
    ) -> None:
        self.failure = ""
        self._older, self._newer = (beside(journal, end) for end in _PARTS)
        self._run = run
        self._about = dict(about or {})
        self._max_part_bytes = max_bytes // 2
        self._count = 0
        self._decided = b""
        self._fd = -1
        self._begin_part()

    def note(self, now: float, event: Struct) -> None:
        """Write what the scheduler is about to hear; does not wait for the disk."""
        if self._fd < 0:
            return
        try:
            frame = _frame((now, type(event).__name__, event))
            decided, self._decided = self._decided, b""
            if self._size + len(decided) + len(frame) > self._max_part_bytes:
                self._write(decided)
                decided = b""
                self._begin_part()
            self._write(decided + frame)
            self._count += 1
        except (OSError, TypeError, ValueError, OverflowError) as error:
            self._fail(error)

    def note_decided(self, now: float, orders: Sequence[Struct]) -> None:
        """Write what it has said to that, with the next event."""
        try:
            self._decided = _frame((now, "", checksum_of(orders)))
        except (TypeError, ValueError, OverflowError) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.failure = f"{self._newer} is not written any more: {error}"
        _log.warning("%s", self.failure)
        self._decided = b""
        self.close()

    def close(self) -> None:
        """Let go of the file. Calling it again does nothing."""
        if self._fd >= 0 and self._decided:
            decided, self._decided = self._decided, b""
            with contextlib.suppress(OSError):
                self._write(decided)
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _begin_part(self) -> None:
        self.close()
        if self._newer.exists():
            os.replace(self._newer, self._older)
        self._fd = os.open(
            self._newer, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600
        )
        self._size = 0
        self._write(_frame(_Header(_FORMAT, self._run, self._count, self._about)))

    def _write(self, frame: bytes) -> None:
        written = os.write(self._fd, frame)
        if written != len(frame):
            raise OSError(f"the disk took {written} of {len(frame)} bytes: is it full?")
        self._size += written


@dataclass(frozen=True, slots=True)
class Stretch:
    """Events of one run, one after another.

    Attributes:
        first: Number of the first of them, counted from 0: the ring has dropped those before.
        events: With the time at which the scheduler heard each.
        decided: For each, ``checksum_of`` what it said to it; None where that is not known.
    """

    run: int
    first: int
    about: Mapping[str, Any]
    events: list[tuple[float, Any]]
    decided: list[int | None] = field(default_factory=list)


def read_trace(journal: Path, kinds: Iterable[type[Struct]]) -> list[Stretch]:
    """Return what a trace still holds: of the last run, and perhaps of the one before.

    Args:
        journal: Path of the journal.
        kinds: The classes of events.

    Raises:
        JournalUnusable: There is none, it is cut or of another release.
    """
    decoders = {kind.__name__: msgspec.msgpack.Decoder(kind) for kind in kinds}
    stretches: list[Stretch] = []
    cut: Path | None = None
    for path in (beside(journal, end) for end in _PARTS):
        if not path.exists():
            continue
        frames = _frames(path.read_bytes())
        first = next(frames, b"")
        if not first:  # whoever was to write it was killed; the other one may be whole
            cut = path
            continue
        try:
            header = msgspec.msgpack.decode(first, type=_Header)
            if header.format != _FORMAT:
                raise msgspec.ValidationError(f"format {header.format}")
            events, decided = _events(frames, decoders)
        except (KeyError, *UNREADABLE) as error:
            raise JournalUnusable(
                f"{path} cannot be read by this release ({error}): use the one that wrote it"
            ) from error
        last = stretches[-1] if stretches else None
        if last is not None and (last.run, last.first + len(last.events)) == (
            header.run,
            header.first,
        ):
            last.events.extend(events)
            last.decided.extend(decided)
        else:
            stretches.append(Stretch(header.run, header.first, header.about, events, decided))
    if cut is not None and not stretches:
        raise JournalUnusable(f"{cut} is no trace, or was cut before its first event")
    if not stretches:
        raise JournalUnusable(
            f"there is no trace of {journal}: have the farm write one, with REMOTEOBJ_FARM_TRACE=1 "
            "or FarmSettings(trace=True)"
        )
    return stretches


_read_entry = msgspec.msgpack.Decoder(tuple[float, str, Raw]).decode


_read_number = msgspec.msgpack.Decoder(int).decode


def _events(
    frames: Iterator[bytes], decoders: Mapping[str, msgspec.msgpack.Decoder[Any]]
) -> tuple[list[tuple[float, Any]], list[int | None]]:
    events: list[tuple[float, Any]] = []
    decided: list[int | None] = []
    for frame in frames:
        now, name, content = _read_entry(frame)
        if name:
            events.append((now, decoders[name].decode(content)))
            decided.append(None)
        elif decided:
            decided[-1] = _read_number(content)
    return events, decided


def _frame(content: object) -> bytes:
    body = _encode(content)
    return _FRAME.pack(len(body), zlib.crc32(body)) + body


def _frames(data: bytes) -> Iterator[bytes]:
    """Return the frames up to the first that is not whole: nobody wrote on after that."""
    at = 0
    while at + _FRAME.size <= len(data):
        size, crc = _FRAME.unpack_from(data, at)
        at += _FRAME.size
        body = data[at : at + size]
        if len(body) != size or zlib.crc32(body) != crc:
            return
        yield body
        at += size
