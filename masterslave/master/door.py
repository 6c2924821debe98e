"""The master's door: what slaves, and the command line, may call."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import msgspec

from masterslave.master.seats import Poll, Seat
from masterslave.master.sharing import Promised
from masterslave.master.shell import Master
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.fetching import MAX_PIECE_BYTES, BlobAnswer, BlobAsk, PieceAsk
from masterslave.protocol.joining import (
    ONLY_NAMED,
    VERSION,
    Decline,
    GivenHandlers,
    Introduction,
    Welcome,
)
from masterslave.protocol.verbs import Ask, Delivery
from remoteobj import THIS_MACHINE, DeferredReply, current_peer, expose, on_disconnect

__all__ = ["Door", "Refusal"]

log = logging.getLogger("masterslave")

_MOST_SAID = 300
_ENDS_S = 0.1
"""Characters of what a slave says that does not join."""

Refusal = Callable[[str, str], None]
"""Told of each slave that was refused: its name and address, and why."""


class Door:
    """Exposed in the farm's daemon; every verb takes and gives one packed message.

    What slaves call is for slaves' certificates too; what looks and steers, for members.

    Args:
        welcome: What every slave is told when it is let in.
        on_refused: Called when a slave is refused.
        is_own: Tells whether the farm itself has started the process with this id.
        how_ended: Waits so long for such a process to end; tells how, in words, or nothing.
        on_superseded: Called with the epoch of a later master of the farm, which a slave says that
            it has seen; as often as slaves say so. A slave may lie: ask the name server.
        status: Returns plain data about the farm, for ``masterslave show``.
        release: Ends the quarantine of a slave, by its id.
        steer: Asks a slave, by its id, to "drain", "stop", or for its "status".
    """

    def __init__(
        self,
        master: Master,
        welcome: Welcome,
        *,
        on_refused: Refusal,
        status: Callable[[], dict[str, Any]],
        release: Callable[[str], None],
        steer: Callable[[str, str], Future[dict[str, Any]]],
        is_own: Callable[[int], bool],
        how_ended: Callable[[int, float], str] = lambda pid, timeout_s: "",
        on_superseded: Callable[[int], None] | None = None,
    ) -> None:
        self._master = master
        self._conversation = master.conversation
        self._welcome = welcome
        self._on_refused = on_refused
        self._status = status
        self._release, self._steer = release, steer
        self._is_own, self._how_ended = is_own, how_ended
        self._on_superseded = on_superseded

    def lead_with(self, epoch: int) -> None:
        """Tell slaves that come from now on that the master has this epoch."""
        self._welcome = msgspec.structs.replace(self._welcome, epoch=epoch)

    @expose(role="slave")
    def join(self, message: bytes) -> bytes:
        """Let a slave in (``Introduction -> Welcome``); it is gone when its process or proxy is."""
        introduction = decode(message, Introduction)
        peer = current_peer()
        no_code = _why_no_code(introduction)
        reason = _why_not(introduction, no_code) or self._why_superseded(introduction)
        if reason:
            self._on_refused(f"{introduction.name} at {peer}", reason)
            return encode(Welcome(refused=reason))
        if introduction.farm_id != self._welcome.farm_id:  # of another farm
            introduction = msgspec.structs.replace(introduction, holds=())
        is_own = peer == THIS_MACHINE and self._is_own(introduction.pid)
        handlers = GivenHandlers()
        if introduction.takes_handlers and peer == THIS_MACHINE and not no_code:
            handlers = self._welcome.handlers
            tasks = tuple(dict.fromkeys([*introduction.tasks, *handlers.tasks]))
            introduction = msgspec.structs.replace(introduction, tasks=tasks)
        seat = self._conversation.join(introduction, peer, is_own=is_own)
        on_disconnect(lambda: self._left(seat))
        path = self._welcome.search_path if peer == THIS_MACHINE else ()
        welcome = msgspec.structs.replace(
            self._welcome, slave=seat.token, search_path=path, handlers=handlers
        )
        if no_code:
            level = logging.INFO if introduction.only_named else logging.WARNING
            log.log(level, "slave %s at %s %s", introduction.name, peer, no_code)
            welcome = msgspec.structs.replace(
                welcome, no_code=no_code, data_only=True, initializer=b"", search_path=()
            )
        return encode(welcome)

    def _left(self, seat: Seat) -> None:
        """The connection of a slave has closed."""
        how = ""
        if seat.is_own and not seat.is_gone:
            how = self._how_ended(seat.introduction.pid, _ENDS_S)
        reason = f"its connection closed; {how}" if how else "its connection closed"
        self._conversation.leave(seat.slave, reason)

    def _why_superseded(self, introduction: Introduction) -> str:
        """Return why the slave would not believe this master; empty if it would."""
        ours, epoch = self._welcome, introduction.epoch
        if introduction.farm_id != ours.farm_id or not ours.farm_id or epoch <= ours.epoch:
            return ""
        if self._on_superseded is not None:
            self._on_superseded(epoch)
        return (
            f"it has served a later master of this farm, with epoch {epoch}, and this one has "
            f"{ours.epoch}: the farm was taken over, or this is an older copy of its journal"
        )

    @expose(role="slave")
    def decline(self, message: bytes) -> None:
        """Hear why a slave does not serve this farm (``Decline``)."""
        told = decode(message, Decline)
        who = f"{told.name[:_MOST_SAID]} at {current_peer()}"
        self._on_refused(who, f"it {told.reason[:_MOST_SAID]}")

    @expose(role="slave")
    def next(self, message: bytes) -> Poll:
        """Wait for instructions (``Ask -> Instructions``), at most a heartbeat; holds no thread."""
        ask = decode(message, Ask)
        return self._conversation.next_instructions(ask)

    @expose(role="slave")
    def deliver(self, message: bytes) -> bytes | DeferredReply:
        """Take outcomes (``Delivery -> Instructions``), and answer with what there is just now."""
        delivery = decode(message, Delivery)
        return self._conversation.deliver(delivery)

    @expose(role="slave")
    def blob(self, message: bytes) -> bytes:
        """Say where a blob is (``BlobAsk -> BlobAnswer``)."""
        ask = decode(message, BlobAsk)
        if ask.given:
            self._master.spreading.note_given(ask)
        if ask.origin != self._master.origin:
            return encode(
                BlobAnswer(
                    refused=f"a handle of {ask.origin} came to a task of {self._master.origin}: "
                    "share the object with that farm, too"
                )
            )
        found = self._conversation.ask_for_blob(ask.slave, ask.digest)
        if found is None:  # it was given up, as its connection was lost: it joins, and asks, again
            return encode(BlobAnswer())
        seat, blob = found
        if blob is None:
            return encode(
                BlobAnswer(
                    refused=f"an object that {ask.origin} has shared is gone: keep its handle for "
                    "as long as tasks may need it"
                )
            )
        if isinstance(blob, Promised) and blob.why_not:
            return encode(BlobAnswer(refused=blob.why_not))
        parts = [place.part for place in blob.places]
        if seat.peer != THIS_MACHINE:
            parts = [msgspec.structs.replace(part, path="") for part in parts]
        giver = self._master.spreading.find_giver(ask) if ask.fetches >= 0 else ""
        hashes = blob.hashes(ask.fetches) if giver else ()
        return encode(BlobAnswer(tuple(parts), giver=giver, hashes=hashes))

    @expose(role="slave")
    def piece(self, message: bytes) -> bytes:
        """Return some of a blob (``PieceAsk``); empty if it is gone, or the slave has no seat."""
        ask = decode(message, PieceAsk)
        if not self._conversation.is_seated(ask.slave):
            return b""
        size = min(ask.size, MAX_PIECE_BYTES)
        data = self._master.blobs.read(ask.digest, ask.part, ask.offset, size)
        self._master.spreading.note_sent(ask.slave, len(data))
        return data

    @expose
    def status(self) -> dict[str, Any]:
        """Return the farm's state as plain data."""
        return self._status()

    @expose
    def steer(self, slave: str, what: str) -> Future[dict[str, Any]]:
        """Ask a slave for its "status", or to "drain" or "stop"; answered when it is."""
        return self._steer(slave, what)

    @expose
    def release(self, slave: str) -> None:
        """End the quarantine of a slave, if it is in one."""
        self._release(slave)


def _why_no_code(introduction: Introduction) -> str:
    """Return why a slave is given named tasks only, in words that go on after "it"; or nothing."""
    ours = sys.version_info[:2]
    if introduction.only_named:
        return ONLY_NAMED
    if introduction.python == ours:
        return ""
    theirs, wanted = (".".join(map(str, version)) for version in (introduction.python, ours))
    return f"runs Python {theirs}, the script {wanted}: only named tasks"


def _why_not(introduction: Introduction, no_code: str) -> str:
    """Return why a slave cannot serve this farm, and what to do; empty if it can."""
    if introduction.version != VERSION:
        return (
            f"it speaks version {introduction.version} of the farm's protocol, the script "
            f"{VERSION}: install the same release of remoteobj-farm on both"
        )
    if introduction.only_named and not introduction.tasks:
        return "it takes named tasks only, and offers none: give it --only MODULE:CLASS"
    if no_code and not introduction.tasks:
        theirs, wanted = (
            ".".join(map(str, version)) for version in (introduction.python, sys.version_info[:2])
        )
        return (
            f"it runs Python {theirs}, the script Python {wanted}: functions do not travel between "
            f"minor versions; start the slave with Python {wanted}, or give it named tasks with "
            "--handlers MODULE:CLASS"
        )
    if introduction.slots < 1:
        return "it offers no slot: start it with --slots 1 or more"
    return ""
