"""The functions that scripts have sent, and the code that they want: in the journal, by hashes.

What is in use is held as well, and what was used last.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from weakref import WeakValueDictionary

from masterslave.codeset import COMPILED, NOTHING, SPACE, CodeSet, code_of, unpack_entries
from masterslave.errors import FarmError, JournalUnusable
from masterslave.journal.facts import NO_PLACE, Noted, Place
from masterslave.journal.left_code import (
    CODE,
    FUNCTION,
    PART,
    KnownCode,
    KnownFunction,
    note_code,
    note_function,
    note_part,
    read_code,
    read_function,
)
from masterslave.master.submission import Function
from masterslave.protocol.attaching import SentFunction
from masterslave.protocol.functions import NAMED, hash_of
from masterslave.protocol.hand_outs import MAX_PAYLOAD_BYTES
from masterslave.service.book import TicketBook
from remoteobj.unreadable import UNREADABLE

__all__ = ["Functions", "NotTaken"]

_MOST_HELD = 256
_MOST_HELD_BYTES = 64 * 1024 * 1024


class NotTaken(FarmError):
    """What a script has sent cannot be taken; the message says why, and what to do."""


class Functions:
    """Functions, by their digests.  Threads: any.

    Args:
        notes: What the journal knows of functions and code.
    """

    def __init__(self, book: TicketBook, notes: Iterable[Noted]) -> None:
        self._book = book
        self._lock = threading.Lock()
        self._known: dict[bytes, tuple[KnownFunction, Place]] = {}
        self._codes: dict[bytes, tuple[bytes, ...]] = {}
        self._parts: dict[bytes, Place] = {}
        self._held: OrderedDict[bytes, Function] = OrderedDict()
        self._held_bytes = 0
        self._sets: WeakValueDictionary[bytes, CodeSet] = WeakValueDictionary()
        for note in notes:
            self._take(note)

    def _take(self, note: Noted) -> None:
        if note.kind == PART:
            self._parts[note.body] = note.places[0]
        elif note.kind == CODE:
            code = read_code(note.body)
            self._codes[code.name] = code.parts
        elif note.kind == FUNCTION:
            known = read_function(note.body)
            self._known[known.digest] = known, note.places[0]

    def add(self, sent: Iterable[SentFunction]) -> None:
        """Take functions in; those that are known, and can be read, are passed over.

        Raises:
            NotTaken: One of them is not what it says, or lacks code.
        """
        for one in sent:
            if not self._has(one.digest):
                with self._lock:
                    self._add(one)

    def _has(self, digest: bytes) -> bool:
        try:
            self.find(digest)
        except NotTaken:
            return False
        return True

    def _add(self, sent: SentFunction) -> None:
        name = sent.name[:200]
        if hash_of(sent.packed) != sent.digest or sent.is_named != (sent.packed[:1] == NAMED):
            raise NotTaken(
                f"function {name}() is not what its digest says: send it anew, by the same release "
                "of remoteobj-farm as this farm's"
            )
        if len(sent.packed) > MAX_PAYLOAD_BYTES:
            raise NotTaken(f"function {name}() takes {len(sent.packed)} bytes: too many to travel")
        for digest, content in sent.parts.items():
            if hash_of(content) != digest:
                raise NotTaken(f"a module of function {name}() is not what its hash says")
        code = code_of(sent.packed)
        parts = self._parts_of(code, sent) if code else ()
        notes = [
            note_part(digest, self._book.keep(content))
            for digest, content in sent.parts.items()
            if digest not in self._parts or sent.digest in self._known  # which cannot be read
        ]
        if code and code not in self._codes:
            notes.append(note_code(KnownCode(code, parts)))
        known = KnownFunction(sent.digest, sent.name, sent.kind, sent.is_named, code)
        notes.append(note_function(known, self._book.keep(sent.packed)))
        for note in notes:
            self._take(note)
            self._book.record(note)

    def _parts_of(self, code: bytes, sent: SentFunction) -> tuple[bytes, ...]:
        """Return the hashes of what a code set needs, all of which is here or comes along."""
        known = self._codes.get(code)
        if known is not None:
            return known
        try:
            entries = unpack_entries(sent.parts[code])
        except (KeyError, *UNREADABLE):
            raise NotTaken(f"function {sent.name[:200]}() came without its modules") from None
        travelling = [one.source for one in entries if one.kind not in (SPACE, COMPILED)]
        parts = (code, *dict.fromkeys(travelling))
        if any(part not in self._parts and part not in sent.parts for part in parts):
            raise NotTaken(f"function {sent.name[:200]}() came without all of its modules")
        return parts

    def name(self, digest: bytes) -> str:
        """Return what a function is called; empty: it is not known."""
        known = self._known.get(digest)
        return "" if known is None else known[0].name

    def place(self, function: Function) -> Place:
        """Return where a function is in the journal; nowhere, of one that was lost."""
        return self._known[function.digest][1] if function.digest else NO_PLACE

    def find(self, digest: bytes) -> Function:
        """Return a function.

        Raises:
            NotTaken: It is not known, or cannot be read.
        """
        with self._lock:
            function = self._held.get(digest)
            if function is not None:
                self._held.move_to_end(digest)
                return function
            if digest not in self._known:
                raise NotTaken("these tasks are of a function that has not been sent")
            known, place = self._known[digest]
            try:
                packed, code = self._book.read(place), self._code(known.code)
            except JournalUnusable as error:
                raise NotTaken(f"function {known.name}() has to be sent anew: {error}") from error
            function = Function(digest, packed, known.name, known.kind, known.is_named, code)
            self._hold(digest, function)
            return function

    def _hold(self, digest: bytes, function: Function) -> None:
        self._held[digest] = function
        self._held_bytes += len(function.packed)
        while len(self._held) > 1 and (
            len(self._held) > _MOST_HELD or self._held_bytes > _MOST_HELD_BYTES
        ):
            self._held_bytes -= len(self._held.popitem(last=False)[1].packed)

    def _code(self, name: bytes) -> CodeSet:
        if not name:
            return NOTHING
        code = self._sets.get(name)
        if code is None:
            read, places = self._book.read, self._parts
            try:
                parts = {part: read(places[part]) for part in self._codes[name]}
            except KeyError:  # a file that was damaged has lost the note
                raise JournalUnusable("modules of it are not in the journal any more") from None
            code = self._sets[name] = CodeSet(name, parts)
        return code
