"""The line to the farm: one thread that says what is to be said, one that hears the answers.

The first one also finds the farm again when the connection is lost: where the farm was started
anew, or another machine has taken it over. What waits for it waits as long as it takes.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from masterslave.errors import CannotAttach, Detached, FarmError
from masterslave.farm.attached.backlog import OutOfStep
from masterslave.farm.attached.finding import (
    ANSWER_S,
    Around,
    Door,
    NotFound,
    Refused,
    find,
    greeting,
)
from masterslave.farm.attached.master import RemoteMaster
from masterslave.farm.attached.sending import Told
from masterslave.farm.attached.waiting import Waiting
from masterslave.master.sharing import Blob
from masterslave.protocol.attaching import (
    Admission,
    Answers,
    Cancel,
    Collect,
    Greeting,
    Leave,
    Offer,
    Taken,
)
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.fetching import pieces_of
from remoteobj import Proxy, RemoteObjError, options
from remoteobj import release as let_go

__all__ = ["Line"]

log = logging.getLogger("masterslave")

_MOST_TASKS = 5_000
_MOST_BYTES = 16 << 20
_FIRST_RETRY_S, _RETRY_S = 0.05, 0.5
_WARN_AFTER_S = 10.0
_LEAVE_S, _JOIN_S = 10.0, 5.0
_LARGE_BYTES, _SLOWEST = 1 << 20, 200_000
"""What is larger may take longer; and how many bytes a slow network carries in a second."""

_Answer = TypeVar("_Answer", bound=msgspec.Struct)


class _Lost(Exception):
    """The connection is lost, or what comes over it is of no use; the text says how."""


class _Refused(Exception):
    """The farm refuses what it was asked for; the text says why."""


class Line:
    """Talks with one farm, for one ticket.  Threads: any.

    Args:
        door: The farm, which has let the script in.
        visitor: What the script has called itself there.

    Attributes:
        trouble: Why there is no connection now, in words; empty: there is one.
        sessions: How often the farm has let the script in.
    """

    def __init__(
        self,
        around: Around,
        door: Door,
        master: RemoteMaster,
        visitor: str,
    ) -> None:
        self.trouble = ""
        self.sessions = 1
        self._around = around
        self._door = door
        self._visitor = visitor
        self._master = master
        self._told = Told()
        self._offered: weakref.WeakValueDictionary[bytes, Blob] = weakref.WeakValueDictionary()
        self._admitted_at = time.monotonic()
        self._changed = threading.Condition()
        self._connected: Proxy | None = door.reception
        self._leaving: Leave | None = None
        self._has_left = threading.Event()
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=run, name=f"farm {name}", daemon=True)
            for name, run in (("line", self._talk), ("answers", self._hear))
        ]

    @property
    def label(self) -> str:
        """The farm's."""
        return self._around.label

    @property
    def ticket(self) -> str:
        """The ticket."""
        return self._door.admission.ticket

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def leave(self, *, forget: bool) -> bool:
        """Leave the farm, once it has all that it is to be told; tells whether it knows.

        Blocks: on the farm, at most ten seconds.
        """
        self._leaving = Leave(self.ticket, forget)
        self._master.bell.set()
        self._has_left.wait(_LEAVE_S)
        return self._has_left.is_set()

    def close(self) -> None:
        """End. Blocks until the threads are gone, a heartbeat at most."""
        self._stopped.set()
        self._master.bell.set()
        with self._changed:
            reception, self._connected = self._connected, None
            self._changed.notify_all()
        if reception is not None:
            let_go(reception)
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(_JOIN_S)

    # The thread that talks.

    def _talk(self) -> None:
        master = self._master
        while not self._stopped.is_set():
            master.bell.wait()
            master.bell.clear()
            try:
                if self._connected is None:
                    self._connect()
                self._say_all()
                if self._leaving is not None and not self._has_left.is_set():
                    self._ask("leave", self._leaving, Taken)
                    self._has_left.set()
            except _Lost as lost:
                self._lose(self._connected, str(lost))
            except (OutOfStep, _Refused) as error:
                self._end(CannotAttach(f"farm {self._around.label!r}: {error}"))
            except Exception as error:  # a mistake of this program: nobody waits for ever
                log.exception("the line to farm %r has failed", self._around.label)
                self._end(CannotAttach(f"the line to farm {self._around.label!r} failed: {error}"))

    def _say_all(self) -> None:
        """Tell the farm all that there is to be told."""
        master = self._master
        while not self._stopped.is_set():
            master.take_in()
            with master as backlog:
                portions = backlog.next_portions(_MOST_TASKS, _MOST_BYTES)
                unwanted = backlog.unwanted()
            if unwanted:
                self._taken(self._ask("cancel", Cancel(self.ticket, unwanted), Taken))
                with master as backlog:
                    backlog.note_cancelled(unwanted)
            if portions:
                self._offer(blob for one in portions for blob in one.holds)
                request = self._told.request(self.ticket, portions)
                taken = self._taken(self._ask("submit", request, Taken))
                self._told.note(request)
                with master as backlog:
                    backlog.take(taken)
            if portions or unwanted:
                master.note_progress()
            else:
                return

    def _offer(self, blobs: Iterable[object]) -> None:
        """Give the farm what tasks refer to that it does not have."""
        for blob in blobs:
            if isinstance(blob, Blob) and blob.digest not in self._offered:
                self._offer(blob.inner)
                sizes = tuple(place.size for place in blob.places)
                for piece in pieces_of(sizes):
                    data = blob.places[piece.part].read(piece.offset, piece.size)
                    offer = Offer(self.ticket, blob.digest, sizes, piece.part, piece.offset, data)
                    try:
                        if self._taken(self._ask("offer", offer, Taken)):
                            break  # it has all of it
                    except _Refused as refused:  # the tasks that need it will say so, too
                        log.warning("farm %r: %s", self.label, refused)
                        break
                self._offered[blob.digest] = blob

    def _ask(self, verb: str, message: msgspec.Struct, kind: type[_Answer]) -> _Answer:
        reception = self._connected
        if reception is None:
            raise _Lost("the connection was lost")
        return self._call(reception, verb, message, kind)

    @staticmethod
    def _call(reception: Proxy, verb: str, message: msgspec.Struct, kind: type[_Answer]) -> _Answer:
        packed = encode(message)
        if len(packed) > _LARGE_BYTES:  # it may take long until it is there
            reception = options(reception, timeout_s=ANSWER_S + len(packed) / _SLOWEST)
        try:
            method = getattr(reception, verb)
        except (RemoteObjError, AttributeError) as error:  # another farm is there by now
            raise _Lost(str(error)) from error
        try:
            return decode(method(packed), kind)
        except RemoteObjError as error:
            raise _Lost(str(error)) from error

    @staticmethod
    def _taken(answer: Taken) -> int:
        if answer.refused:
            raise (_Lost if answer.is_out else _Refused)(answer.refused)
        return answer.taken

    # The thread that hears.

    def _hear(self) -> None:
        master, waiting = self._master, Waiting()
        while not self._stopped.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._connected or self._stopped.is_set())
                reception = self._connected
            if reception is None:
                return
            with master as backlog:
                session, received = backlog.session, backlog.received
            if self._connected is not reception:  # that may be another session's
                continue
            try:
                message = Collect(self.ticket, received)
                answers = self._call(reception, "collect", message, Answers)
                if answers.refused:
                    raise (_Lost if answers.is_out else _Refused)(answers.refused)
                master.receive(session, answers)
                if waiting.is_to_be_said(answers.waits, time.monotonic()):
                    log.warning("farm %r: %s", self.label, answers.waits)
            except (_Lost, OutOfStep) as lost:
                if self._leaving is not None:  # nothing is waited for, and the other one may talk
                    return
                self._lose(reception, str(lost))
            except _Refused as refused:
                if self._connected is reception:
                    self._end(Detached(f"farm {self._around.label!r}: {refused}"))
            except Exception as error:
                log.exception("answers of farm %r cannot be heard", self._around.label)
                self._end(CannotAttach(f"farm {self._around.label!r} cannot be heard: {error}"))

    # The connection.

    def _lose(self, reception: Proxy | None, how: str) -> None:
        """The connection is of no use any more; somebody may have said so before."""
        with self._changed:
            if reception is None or self._connected is not reception:
                return
            self._connected = None
            self.trouble = how
        let_go(reception)
        self._master.bell.set()

    def _end(self, error: FarmError) -> None:
        """There is no farm any more for this script."""
        self._stopped.set()
        self._has_left.set()
        self._master.end(error)
        with self._changed:
            self._changed.notify_all()

    def _connect(self) -> None:
        """Find the farm again, however long it takes; returns early where the line is closed.

        Raises:
            _Refused: It does not let the script in any more.
            OutOfStep: It has forgotten what it had taken.
        """
        label, since, is_said = self._around.label, time.monotonic(), False
        retry_s = _FIRST_RETRY_S
        if since - self._admitted_at < _RETRY_S:  # it lets the script in, and does no more
            self._stopped.wait(_RETRY_S)
        while not self._stopped.is_set():
            self._master.take_in()
            try:
                door = find(
                    self._around, self._greeting(), suits=self._why_not, known=self._door.record
                )
            except NotFound as nobody:
                self.trouble = str(nobody) or self.trouble
            except Refused as refused:
                raise _Refused(str(refused)) from None
            except RemoteObjError as error:  # of a directory or an identity: it may be mended
                self.trouble = str(error)
            else:
                self._go_on_with(door)
                if is_said:
                    log.warning("farm %r is back", label)
                return
            if not is_said and time.monotonic() - since > _WARN_AFTER_S:
                is_said = True
                log.warning(
                    "farm %r does not answer (%s): %d tasks wait for it; start it again with "
                    "'masterslave master %s' and the journal that it had",
                    label, self.trouble, self._master.backlog.open, label,
                )  # fmt: skip
            self._stopped.wait(retry_s)
            retry_s = min(2 * retry_s, _RETRY_S)

    def _greeting(self) -> Greeting:
        known = self._door.admission
        with self._master as backlog:
            rows, taken = backlog.open_rows(), backlog.taken
        return greeting(known.ticket, self._visitor, known.farm_id, known.epoch, rows, taken)

    def _why_not(self, admission: Admission) -> str:
        """Return why this is not the farm that was lost."""
        known = self._door.admission
        if admission.farm_id != known.farm_id:
            return (
                f"there is another farm of label {known.label!r}, which does not have its journal"
            )
        if admission.epoch < known.epoch:
            return "a master that was succeeded by another one does not know it yet"
        return ""

    def _go_on_with(self, door: Door) -> None:
        with self._master as backlog:
            backlog.admit(door.admission.taken)
        offered = [*self._offered.values()]
        self._offered.clear()
        self._told = Told()
        self.sessions += 1
        self._admitted_at = time.monotonic()
        with self._changed:
            self._door, self._connected, self.trouble = door, door.reception, ""
            self._changed.notify_all()
        self._offer(offered)
