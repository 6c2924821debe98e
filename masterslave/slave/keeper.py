"""What a slave has of the objects that a script has shared: blobs, fetched once for all children.

Where the script's memory can be read, because it is of this user on this machine, children read
that. Else the blob is fetched, in pieces, from the master or from another slave, into memory of
this process that its children map. It is kept until the script lets go of it, or until there is too
much: then what was used longest ago goes, but nothing that a task which is here will need.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial

from msgspec import structs

from masterslave.blobs.reading import is_here
from masterslave.blobs.segments import Arena, Part, Place
from masterslave.protocol.encoding import encode
from masterslave.protocol.fetching import SPREAD_BYTES, BlobAnswer, BlobAsk, Piece, PieceAsk
from masterslave.slave.calling import Caller, MasterGone
from masterslave.slave.child.frames import Found
from masterslave.slave.children import Child
from masterslave.slave.coming import Coming
from masterslave.slave.route import Route
from masterslave.slave.work import FarmWork
from masterslave.slave.workshop import Workshop
from remoteobj import Identity, Proxy

__all__ = ["Keeper", "room_for_blobs"]

_PART_OF_MEMORY = 4
_AT_LEAST_BYTES = 1 << 30
_ASK_AGAIN_S = 0.005


class _Gone(Exception):
    """The blob is not to be had; the text says why, for the script."""


class Keeper:
    """Keeps the blobs of one farm.

    Args:
        caller: Calls the master until it answers.
        slave: Returns by which name the master knows the slave.
        identity: Who this machine is, to slaves that give what they have.
        room_bytes: How much is kept of what was fetched.

    Threads: any.
    """

    def __init__(
        self,
        work: FarmWork,
        workshop: Workshop,
        caller: Caller,
        proxy: Proxy,
        *,
        slave: Callable[[], str],
        identity: Identity | None = None,
        room_bytes: int | None = None,
    ) -> None:
        self._work, self._workshop = work, workshop
        self._master = caller, proxy
        self._slave, self._identity = slave, identity
        self._room_bytes = room_for_blobs() if room_bytes is None else room_bytes
        self._arena = Arena()
        self._lock = threading.Lock()
        self._here: OrderedDict[bytes, tuple[tuple[Part, ...], list[Place]]] = OrderedDict()
        self._coming: dict[bytes, Coming] = {}
        self._wanted: dict[bytes, list[Child]] = {}
        self._stale: set[bytes] = set()
        """What was dropped while it was fetched."""
        self._threads: set[threading.Thread] = set()

    def turn_to(self, caller: Caller, proxy: Proxy) -> None:
        """Ask this master from now on, of the same farm; ``over`` of the caller before is set."""
        with self._lock:
            self._master = caller, proxy

    def want(self, child: Child, digest: bytes, origin: str, is_inherited: bool = False) -> None:
        """A child needs a blob: tell it where it is, as soon as it is here.

        Args:
            is_inherited: The master that has shared it is gone: nobody is asked for it.
        """
        with self._lock:
            here = self._here.get(digest)
            if here is not None and not here[1] and not is_here(here[0]):  # its master is gone
                del self._here[digest]
                here = None
            if here is None and is_inherited:
                child.tell_found(Found(digest, [], "", is_gone=True))
                return
            if here is None:
                waiting = self._wanted.setdefault(digest, [])
                waiting.append(child)
                if len(waiting) == 1:
                    thread = threading.Thread(
                        target=self._fetch,
                        args=(*self._master, digest, origin),
                        name="blobs",
                        daemon=True,
                    )
                    self._threads.add(thread)
                    thread.start()
                return
            self._here.move_to_end(digest)
        child.tell_found(Found(digest, list(here[0]), ""))

    def drop(self, digests: Iterable[bytes]) -> None:
        """The script has let go of these."""
        digests = list(digests)
        with self._lock:
            for digest in digests:
                self._here.pop(digest, None)
            self._stale.update(digest for digest in digests if digest in self._wanted)
        self._workshop.drop_shared(self._work, digests)

    def read(self, ask: PieceAsk, wait_s: float) -> bytes | None:
        """Return some of what was fetched; empty if it is not here, None if it is to come."""
        with self._lock:
            coming = self._coming.get(ask.digest)
            _, places = self._here.get(ask.digest, ((), []))
        if coming is not None:
            return coming.read(ask, wait_s)
        if ask.part >= len(places):
            return b""
        return places[ask.part].read(ask.offset, ask.size)

    def close(self) -> None:
        """Let go of all. Blocks until nothing is fetched any more; the caller's ``over`` is set."""
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()
        with self._lock:
            self._here.clear()

    def _fetch(self, caller: Caller, proxy: Proxy, digest: bytes, origin: str) -> None:
        parts: tuple[Part, ...] = ()
        places: list[Place] = []
        refused = ""
        try:
            while True:
                try:
                    parts, places = self._get(caller, proxy, BlobAsk(self._slave(), digest, origin))
                except _Gone as error:
                    refused = str(error)
                with self._lock:
                    if digest not in self._stale:
                        if parts:
                            self._here[digest] = parts, places
                        waiting = self._wanted.pop(digest)
                        self._coming.pop(digest, None)
                        break
                    self._stale.discard(digest)
                    refused = ""
        except MasterGone:  # its tasks are given back, or stopped
            with self._lock:
                waiting = self._wanted.pop(digest, [])
                self._coming.pop(digest, None)
            for child in waiting:
                child.tell_found(Found(digest, [], "", is_gone=True))
            return
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
        self._make_room(digest)
        for child in waiting:
            child.tell_found(Found(digest, list(parts), refused))

    def _get(
        self, caller: Caller, proxy: Proxy, ask: BlobAsk
    ) -> tuple[tuple[Part, ...], list[Place]]:
        answer = self._ask(caller, proxy, ask)
        while not (answer.parts or answer.refused):
            if caller.over.wait(_ASK_AGAIN_S):
                raise MasterGone(caller.how)
            answer = self._ask(caller, proxy, ask)
        if answer.refused:
            raise _Gone(answer.refused)
        if all(part.path for part in answer.parts) and is_here(answer.parts):
            return answer.parts, []
        coming = Coming(self._arena, [part.size for part in answer.parts])
        with self._lock:
            self._coming[ask.digest] = coming
        try:
            self._fill(caller, proxy, coming, ask, sum(part.size for part in answer.parts))
        finally:
            coming.end()
        return tuple(place.part for place in coming.places), coming.places

    def _fill(self, caller: Caller, proxy: Proxy, coming: Coming, ask: BlobAsk, size: int) -> None:
        """Fetch the pieces of a blob of this size."""
        route = Route(
            ask, partial(self._ask, caller, proxy), identity=self._identity, over=caller.over
        )
        try:
            for number, piece in enumerate(coming.pieces):
                data = route.take(number, piece) if size >= SPREAD_BYTES else None
                if data is None:
                    data = self._fetch_piece(caller, proxy, ask, piece)
                if len(data) != piece.size:
                    raise _Gone("a shared object was let go of while it was fetched")
                coming.add(piece, data)
        except OSError as error:
            raise _Gone(
                f"slave {self._slave()} has no memory for a shared object of "
                f"{size / 2**20:.0f} MiB: {error}"
            ) from error
        finally:
            route.close()

    def _ask(self, caller: Caller, proxy: Proxy, ask: BlobAsk) -> BlobAnswer:
        ask = structs.replace(ask, slave=self._slave())  # it may have joined anew
        return caller.call(proxy, "blob", ask, BlobAnswer)

    def _fetch_piece(self, caller: Caller, proxy: Proxy, ask: BlobAsk, piece: Piece) -> bytes:
        """Return a piece; empty if its blob is gone."""
        while True:
            name = self._slave()
            packed = encode(PieceAsk(name, ask.digest, piece.part, piece.offset, piece.size))
            data = caller.insist(partial(_take_piece, proxy, packed))
            if data or self._ask(caller, proxy, ask).refused:
                return data
            # The master had given this slave up, as its connection was lost: it joins again.
            if caller.over.wait(_ASK_AGAIN_S):
                raise MasterGone(caller.how)

    def _make_room(self, newest: bytes) -> None:
        """Let go of what was used longest ago, where there is too much."""
        with self._lock:
            sizes = {
                digest: sum(place.size for place in places)
                for digest, (_, places) in self._here.items()
            }
        too_much = sum(sizes.values()) - self._room_bytes
        if too_much <= 0:
            return
        needed = self._workshop.names_in(self._work, sizes)
        evicted = []
        for digest, size in sizes.items():
            if too_much <= 0:
                break
            if size and digest != newest and digest not in needed:
                evicted.append(digest)
                too_much -= size
        self.drop(evicted)


def _take_piece(proxy: Proxy, ask: bytes) -> bytes:
    return bytes(proxy.piece(ask))


def room_for_blobs() -> int:
    """Return how much a slave keeps of what it has fetched: a quarter of the machine's memory."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return _AT_LEAST_BYTES
    return max(memory // _PART_OF_MEMORY, _AT_LEAST_BYTES)
