"""Two hosts with a copy of the journal each: one leads, the other follows and may take over.

Real are who may lead (``nameserver.leadership``), what a master knows of its lease
(``leading.lease``), and what waits for the copy (``journal.steps``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from masterslave.journal.steps import Position, Steps
from masterslave.leading.lease import OwnLease
from masterslave.testing.faulty.disk import Disk
from masterslave.testing.faulty.loop import Loop
from masterslave.testing.faulty.service import PlayedService
from nameserver.changes import Registrant
from nameserver.errors import NotLeader
from nameserver.leadership import Claim, Leadership, Leaderships, Manner

__all__ = ["Host", "PlayedNames"]

_FARM = "the farm"
_LEASE_S = 2.0
_FOLLOW_S = 2.0
_TRAVEL_S = (0.0005, 0.005)
_POLL_S = 0.02
_LOOK_S = 0.05
_ASK_S = 0.25
_SILENCE_S = 0.6
_ROWS = 20
_LONG_AGO_S = 1000.0
_NOBODY = Registrant("", "")


class PlayedNames:
    """A name server: it is killed, and comes again with what it has kept."""

    def __init__(self, loop: Loop) -> None:
        self.down_until = 0.0
        self._loop = loop
        self._kept: dict[str, Leadership] = {}
        self._leaderships = Leaderships((), -_LONG_AGO_S)

    def die(self, for_s: float) -> None:
        """It is killed, and comes again."""
        self.down_until = max(self.down_until, self._loop.now + for_s)
        self._leaderships = Leaderships(self._kept.values(), self.down_until)

    def ask(self, claim: Claim) -> Leadership:
        """Answer a claim.

        Raises:
            NotLeader: It is refused.
            ConnectionError: There is no name server.
        """
        now = self._loop.now
        if now < self.down_until:
            raise ConnectionError("no name server")
        decided = self._leaderships.ask(claim, _NOBODY, now)
        if self._leaderships.is_to_keep(decided):
            self._kept[decided.name] = decided
        return self._leaderships.apply(decided, now)


class Host:
    """A process on a machine with a copy: a master, a standby, or none.

    Args:
        serve: Makes a master of an epoch, on this disk.

    Attributes:
        service: What it serves with, if it leads.
        is_beside_another: It began to lead while the other one acted.
        took_over: How often it went on after another master, or itself.
    """

    def __init__(
        self, loop: Loop, random: Random, names: PlayedNames, copy_id: str,
        serve: Callable[[Disk, int], PlayedService],
    ) -> None:  # fmt: skip
        self.copy_id, self.disk = copy_id, Disk()
        self.service: PlayedService | None = None
        self.other: Host
        self.stopped_until = 0.0
        self.is_beside_another = False
        self.took_over = 0
        self._loop, self._random, self._names, self._serve = loop, random, names, serve
        self._life = self._runs = 0
        self.is_up = False

    # Its process.

    def start(self) -> None:
        """Begin: lead, if the name server says so, else follow."""
        self._life += 1
        self.is_up = True
        self._be_new()
        self._heard_at = self._loop.now
        self._lease = OwnLease(_LEASE_S)
        self._again(_ASK_S * self._random.random(), self._take)

    def _be_new(self) -> None:
        """Ask for the lead as nobody who has had it: as a process that has just begun."""
        self._runs += 1
        self._turn, self._run = 0, f"{self.copy_id} {self._runs}"

    def die(self) -> None:
        """It is killed."""
        self._life += 1
        self.is_up = False
        self._end_service()

    def stop(self, for_s: float) -> None:
        """It is stopped for a while."""
        self.stopped_until = max(self.stopped_until, self._loop.now + for_s)
        if self.service is not None:
            self.service.stopped_until = self.stopped_until

    def _end_service(self) -> None:
        if self.service is not None:
            self.service.die()
            self.service = None

    def _again(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something later, if this process lives then; when it runs."""
        life = self._life

        def then() -> None:
            if life != self._life:
                return
            wait_s = self.stopped_until - self._loop.now
            if wait_s > 0:
                self._loop.after(wait_s, then)
            else:
                act()

        self._loop.after(seconds, then)

    def _claim(self, manner: Manner, epoch: int, successor: str = "") -> Claim:
        """Return the next request: what it says is what is so when it is sent."""
        self._turn += 1
        return Claim(
            _FARM, self.copy_id, epoch, _LEASE_S, manner, successor, run=self._run, turn=self._turn
        )

    def _ask(self, claim: Claim) -> Leadership | None:
        """Ask the name server; None: there is none.

        Raises:
            NotLeader: It says no.
        """
        try:
            return self._names.ask(claim)
        except ConnectionError:
            return None

    # As a master.

    def _take(self) -> None:
        sent = self._lease.sends(self._loop.now)
        try:
            granted = self._ask(self._claim(Manner.TAKE, self.disk.seen.epoch + 1))
        except NotLeader:
            self._again(_ASK_S, self._follow)
            return
        if granted is None:
            self._again(_ASK_S, self._take)
            return
        self._lease.granted(sent)
        self._lead(granted.epoch)

    @property
    def acts(self) -> bool:
        """Whether it acts as a master, by its own bookkeeping."""
        return self.service is not None and self._lease.acts(self._loop.now)

    def _lead(self, epoch: int) -> None:
        assert self.service is None, "a process that leads began to lead"
        self._epoch = epoch
        self.is_beside_another = self.is_beside_another or self.other.acts
        self.took_over += bool(self.disk.seen.runs) and self.disk.seen.epoch < epoch
        self._steps = Steps(Position(len(self.disk.facts), 0), follow_s=_FOLLOW_S)
        self._steps.may_name = True
        self._asked: dict[int, str] = {}
        self.service = self._serve(self.disk, epoch)
        self.service.journal.released = lambda callbacks: self._steps.wrote(
            Position(len(self.disk.facts), 0), callbacks, self._loop.now
        )
        self._renew(self.service)
        self._look(self.service)

    def _renew(self, service: PlayedService) -> None:
        if self.service is not service:
            return
        sent = self._lease.sends(self._loop.now)
        claim = self._claim(Manner.RENEW, self._epoch, sent.successor)

        def arrive() -> None:
            try:
                granted = self._ask(claim)
            except NotLeader:
                if self.service is service:
                    self._give_up()
                return
            if granted is not None:
                self._again(self._random.uniform(*_TRAVEL_S), answered)

        def answered() -> None:
            if self.service is not service:  # it leads no more: nobody waits for this
                return
            self._lease.granted(sent)
            for wish in [wish for wish in self._asked if wish <= self._lease.said_yes_to]:
                self._call(self._steps.said(self._asked.pop(wish)))

        self._again(self._random.uniform(*_TRAVEL_S), arrive)
        self._again(_LEASE_S / 4, partial(self._renew, service))

    def _look(self, service: PlayedService) -> None:
        if self.service is not service:
            return
        if not self._lease.acts(self._loop.now):
            self._give_up()
            return
        self._call(self._steps.look(self._loop.now))
        order = self._steps.order
        if order is not None and order not in self._asked.values():
            self._asked = {self._lease.wish(order, ""): order}
        self._again(_LOOK_S, partial(self._look, service))

    def _give_up(self) -> None:
        """It does not lead any more: it ends, and follows."""
        self._steps.shut()
        self._end_service()
        self._be_new()
        self._heard_at = self._loop.now
        self._again(_ASK_S, self._follow)

    def _call(self, callbacks: list[Callable[[], None]]) -> None:
        for callback in callbacks:
            callback()

    # As a standby.

    def _follow(self) -> None:
        """Ask the master for what it has more."""
        if self.service is not None:
            return
        other = self.other
        if other.service is not None and self._loop.now >= other.stopped_until:
            self._again(self._random.uniform(*_TRAVEL_S), self._fetch)
        elif self._loop.now - self._heard_at > _SILENCE_S:
            self._again(self._random.uniform(*_TRAVEL_S), self._succeed)
        else:
            self._again(_POLL_S, self._follow)

    def _fetch(self) -> None:
        other, mine = self.other, self.disk
        if other.service is None or self._loop.now < other.stopped_until:
            self._again(_POLL_S, self._follow)
            return
        self._heard_at = self._loop.now
        theirs = other.disk
        if mine.facts != theirs.facts[: len(mine.facts)]:  # it has gone another way
            mine.clear()
        has = Position(len(mine.facts), 0)
        is_near = len(theirs.facts) - has.seq < _ROWS
        other._call(other._steps.heard(self.copy_id, has, is_near=is_near))
        rows = theirs.facts[has.seq : has.seq + _ROWS]
        payloads = dict(theirs.payloads)
        other._steps.answered(self.copy_id, self._loop.now)

        def arrive() -> None:
            if self._loop.now >= mine.full_until and len(mine.facts) == has.seq:
                mine.write([(0, row) for row in rows], list(payloads.items()))
            self._again(_POLL_S, self._follow)

        self._again(self._random.uniform(*_TRAVEL_S), arrive)

    def _succeed(self) -> None:
        """The master is gone: take over, if the name server says so."""
        sent = self._lease.sends(self._loop.now)
        for manner in (Manner.SUCCEED, Manner.TAKE):
            try:
                granted = self._ask(self._claim(manner, self.disk.seen.epoch + 1))
            except NotLeader:
                continue
            if granted is None:
                break
            self._lease = OwnLease(_LEASE_S)
            self._lease.granted(sent)
            self._lead(granted.epoch)
            return
        self._again(_ASK_S, self._follow)
