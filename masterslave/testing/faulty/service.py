"""A master that runs as a service, with all that is real of it, on a played disk."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec

from masterslave.journal.facts import NO_KEY, Submitted
from masterslave.journal.fold import Folded, keys_in
from masterslave.journal.numbers import ENDED
from masterslave.master.carrier import Carrier
from masterslave.master.recording import Recording
from masterslave.master.shell import Master
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.joining import Introduction, Welcome
from masterslave.protocol.verbs import Ask, Delivery
from masterslave.settings import FarmSettings
from masterslave.testing.faulty.disk import Disk, PlayedJournal
from masterslave.testing.faulty.loop import Loop
from masterslave.testing.faulty.script import GIVEN_UP, Played, Script, Tell, read_payload
from remoteobj import DeferredReply

__all__ = ["PlayedService", "answers_on"]

_TICK_S = 0.1
_FARM_ID = "0123456789abcdef"
_SETTINGS = FarmSettings()


def answers_on(disk: Disk, folded: Folded | None = None) -> dict[bytes, bytes]:
    """Return the answers that are on a disk, by key."""
    folded = folded or disk.folded()
    answers = {
        key: read_payload(disk.read(one.place), one.kind, one.skip)
        for key, one in folded.finished.items()
    }
    for row in folded.numbers:
        for at, state in enumerate(row.states):
            key = row.key(at)
            if state == ENDED and key != NO_KEY and key not in answers:
                answers[key] = GIVEN_UP
    return answers


class PlayedService:
    """One process of a master: it lives until it is killed.

    Args:
        tell: Called with each answer that the script is told.

    Attributes:
        stopped_until: It is stopped.
        known: Keys of the tasks that it has been given, by now or by the runs before.
    """

    def __init__(
        self, loop: Loop, disk: Disk, random: Random, script: Script, tell: Tell, epoch: int = 0
    ) -> None:
        self.epoch, self.disk = epoch, disk
        self.is_dead = False
        self.stopped_until = 0.0
        self._loop, self._script = loop, script
        self.journal = journal = PlayedJournal(
            loop, disk, random, epoch, lambda: self.stopped_until
        )
        self._tell: Tell = lambda index, answer: None if self.is_dead else tell(index, answer)
        self._master = Master(_SETTINGS, Carrier(), recording=Recording(journal))
        folded = journal.folded
        out = {number: one for number, one in folded.out.items() if one.run < folded.run}
        self._master.inherit(out, _SETTINGS.patience_s)
        self.known = {
            key
            for fact in disk.all_facts()
            if isinstance(fact, Submitted)
            for key in keys_in(fact.keys)
        }
        answers = answers_on(disk, folded)
        for task in script.tasks:
            if task.key in answers:
                self._tell(task.index, answers[task.key])
        for part in script.parts:
            self._take_up([t for t in part if t.key in self.known and t.key not in answers])
        self._tick()

    def _take_up(self, tasks: list[Played]) -> None:
        """Put in what is open of a part; each item that a slave may bring alone."""
        row: list[Played] = []
        for task in tasks:
            if self._master.may_come(task.key):
                self._put(row)
                self._put([task])
                row = []
            else:
                row.append(task)
        self._put(row)

    def _put(self, tasks: list[Played]) -> None:
        if tasks:
            self._master.take_in(self._script.submissions(tasks, self._tell))

    def submit(self, part: list[Played], then: Callable[[], None]) -> None:
        """Take tasks; *then* is called when they are on the disk."""
        new = [task for task in part if task.key not in self.known]
        self.known.update(task.key for task in new)
        self._put(new)
        self.journal.after(then)

    @property
    def brought(self) -> int:
        """Tasks of earlier runs that slaves have brought."""
        inherited = self._master.inherited
        return 0 if inherited is None else inherited.came

    def die(self) -> None:
        """It is killed."""
        self.is_dead = True
        self.journal.die()

    def _tick(self) -> None:
        if self.is_dead:
            return
        wait_s = self.stopped_until - self._loop.now
        if wait_s > 0:
            self._loop.after(wait_s, self._tick)
            return
        clock = self._master._clock
        clock._look()
        self._loop.after(min(_TICK_S, clock._seconds_to_deadline()), self._tick)

    # As slaves call it.

    def call(self, verb: str, message: bytes) -> bytes | DeferredReply:
        """Do what a slave asks for."""
        conversation = self._master.conversation
        if verb == "next":
            return conversation.next_instructions(decode(message, Ask))
        if verb == "deliver":
            return conversation.deliver(decode(message, Delivery))
        introduction = decode(message, Introduction)
        if introduction.farm_id != _FARM_ID:
            introduction = msgspec.structs.replace(introduction, holds=())
        seat = conversation.join(introduction, "played")
        welcome = Welcome(
            seat.token, _SETTINGS.heartbeat_s, farm_id=_FARM_ID, keep_s=60.0, epoch=self.epoch
        )
        return encode(welcome)

    def lose(self, token: str) -> None:
        """The connection of a slave has closed."""
        if self.is_dead:
            return
        seat = self._master._table.seated(token)
        if seat is not None:
            self._master.conversation.leave(seat.slave, "its connection closed")
