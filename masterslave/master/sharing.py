"""What the script has shared: blobs, by the hash of their content.

A blob lives as long as something of the script's refers to it: a handle, arguments of a task that
has no answer yet, a function, another blob. When it goes, slaves that have asked for it are told.
"""

from __future__ import annotations

import secrets
import threading
import weakref
from collections import deque
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from masterslave.blobs.reading import RESULT, read_blob
from masterslave.blobs.segments import Arena, Place
from masterslave.blobs.writing import Contents, store
from masterslave.protocol.fetching import HASHES_AT_A_TIME, Piece, hash_of_piece, pieces_of

if TYPE_CHECKING:
    from masterslave.master.submission import Single

__all__ = ["Blob", "Blobs", "Promised"]


class Blob:
    """An object that is shared.

    Attributes:
        digest: Hash of its content.
        places: Its parts.
        inner: Blobs that are referred to in it.
    """

    def __init__(self, digest: bytes, places: list[Place], inner: tuple[Blob, ...]) -> None:
        self.digest, self.places, self.inner = digest, places, inner
        self._hashing = threading.Lock()
        self._hashes: dict[Piece, bytes] = {}

    @property
    def size(self) -> int:
        """How many bytes it takes."""
        return sum(place.size for place in self.places)

    def hashes(self, first: int) -> tuple[bytes, ...]:
        """Return the hashes of its pieces from this one on, as many as are told at a time.

        Blocks: some 10 ms for each that is not known yet.
        """
        pieces = pieces_of([place.size for place in self.places])
        asked, known = pieces[first : first + HASHES_AT_A_TIME], self._hashes
        with self._hashing:
            for piece in asked:
                if piece not in known:
                    data = self.places[piece.part].read(piece.offset, piece.size)
                    known[piece] = hash_of_piece(data)
        return tuple(known[piece] for piece in asked)

    @cached_property
    def value(self) -> Any:
        """The object as tasks get it."""
        return self.make()

    def make(self) -> Any:
        """Make the object anew, but for the arrays in it."""
        return read_blob([place.part for place in self.places])


class Promised(Blob):
    """The result of a task that has yet to end, packed; its name is drawn.

    Attributes:
        of: The task, for who has submitted it.
    """

    def __init__(self, digest: bytes = b"") -> None:
        super().__init__(digest or secrets.token_bytes(16), [], ())
        self.of: weakref.ref[Single] | None = None
        self.has_come = threading.Event()
        self.why_not = ""
        """Why it could not be kept, in words."""

    def make(self) -> Any:
        """Make the result anew, for each task that is given it. Blocks until it has come."""
        self.has_come.wait()
        return super().make()


class Blobs:
    """The blobs of one farm.  Threads: any.

    Args:
        on_dropped: Called after something was added to ``dropped``, wherever memory is taken: it
            must not take a lock.

    Attributes:
        dropped: Hashes of blobs that are gone; who tells the slaves takes them out.
    """

    def __init__(self, on_dropped: Callable[[], None]) -> None:
        self.dropped: deque[bytes] = deque()
        self._on_dropped = on_dropped
        self._arena = Arena()
        self._lock = threading.Lock()
        self._blobs: weakref.WeakValueDictionary[bytes, Blob] = weakref.WeakValueDictionary()

    def find(self, digest: bytes) -> Blob | None:
        """Return the blob of this content, if there is one."""
        return self._blobs.get(digest)

    def add(
        self,
        contents: Contents,
        find: Callable[[memoryview], Place | None],
        inner: tuple[Blob, ...] = (),
    ) -> Blob:
        """Return the blob of this content: a new one unless there is one.

        Args:
            find: As of ``masterslave.blobs.writing.store``.
        Raises:
            OSError: There is no memory for it.
        """
        digest = contents.digest()
        with self._lock:
            blob = self._blobs.get(digest)
            if blob is None:
                blob = Blob(digest, store(contents, self._arena, find), inner)
                self._blobs[digest] = blob
                weakref.finalize(blob, self._drop, digest).atexit = False
            return blob

    def place(self, size: int) -> Place:
        """Return memory for a part of a blob.

        Raises:
            OSError: There is none.
        """
        return self._arena.place(size)

    def adopt(self, digest: bytes, places: list[Place]) -> Blob:
        """Return the blob of this name: one with these parts, unless there is one."""
        for place in places:
            place.finish()
        with self._lock:
            blob = self._blobs.get(digest)
            if blob is None:
                blob = self._blobs[digest] = Blob(digest, places, ())
                weakref.finalize(blob, self._drop, digest).atexit = False
            return blob

    def promise(self, digest: bytes = b"") -> Promised:
        """Return the blob of a result that has yet to come, of this name, if it has one."""
        blob = Promised(digest)
        with self._lock:
            self._blobs[blob.digest] = blob
        weakref.finalize(blob, self._drop, blob.digest).atexit = False
        return blob

    def keep(self, promised: Promised, packed: bytes | memoryview) -> None:
        """A result has come, packed."""
        try:
            contents = Contents(packed, kind=RESULT)
            promised.places = store(contents, self._arena, lambda buffer: None)
        except OSError as error:
            promised.why_not = f"the script has no memory for a result of {len(packed)} bytes: "
            promised.why_not += str(error)
        promised.has_come.set()

    def refuse(self, promised: Promised, why_not: str) -> None:
        """A result has come that is given to nobody; why, in words."""
        promised.why_not = why_not
        promised.has_come.set()

    def read(self, digest: bytes, part: int, offset: int, size: int) -> bytes:
        """Return bytes of a blob; empty if it is not there any more."""
        blob = self._blobs.get(digest)
        if blob is None or not 0 <= part < len(blob.places) or offset < 0:
            return b""
        return blob.places[part].read(offset, size)

    def _drop(self, digest: bytes) -> None:
        self.dropped.append(digest)
        self._on_dropped()
