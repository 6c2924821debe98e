"""Who leads: which one of several holders acts for a name. Pure rules: no clock, disk or network.

**At no time do two holders act for one name**: for any order of requests, lost answers, restarts of
the name server with and without what it knew, and clocks that run differently fast by 1 %. What
holders have to do for it is one thing: to act only until ``acts_until`` of their own clock, counted
from *before* the request was sent that was granted; ``masterslave.leading`` does it.

A leadership of a name has an *epoch*, a *holder* (the id of the copy that it leads by), a
*successor* (the copy that is in step with that one, as the holder says; empty: none), and a lease.

1. The epoch grows with each holder that comes after another one, and never goes down.
2. While a lease runs, its holder renews it, and nobody else gets anything. No renewal shortens it.
3. When it is over, whoever has the holder's copy may take it again, or the named successor: each
   gets the next epoch. Nobody else does, for their copies may lack what was acknowledged.
4. To resign is to let the lease be over. An operator may set a name free when both copies are lost.
5. Of one holder's requests the later one counts, whichever comes first: one that was overtaken is
   refused. So a successor who was named no more does not come back by a late request.
6. What changes more than the time is kept before it is answered.
7. After a start, for ``GRACE_S``, nothing is taken. What somebody holds from the run before is over
   by then, since no lease is longer than ``MOST_LEASE_S``; or its holder renews it meanwhile, and
   is believed, since nobody else can know.
8. Who wants to come *after* a holder of whom nothing is known is refused for good: a successor, and
   whoever has a copy that was led before, which another one may have followed since.

================================ =========================== ===================================
the name is                      who asks                    gets
================================ =========================== ===================================
not known, within the grace      renews                      led, as it says
not known, within the grace      takes, or succeeds          refused, for that long
not known                        takes, asks for 0 or 1      1
not known                        takes, asks for more        refused: its copy was led before
not known                        renews, or succeeds         refused
not known                        stays                       led, as it says
led                              renews, stays, its epoch    renewed
led, within the grace            renews with a later epoch   led, as it says
led, the lease runs              takes, in the same run      the same epoch: its answer was lost
led, the lease runs              anybody else                refused
led, the lease is over           takes, with the same copy   the next epoch
led, the lease is over           is the named successor      the next epoch
led, the lease is over           anybody else                refused
free                             takes                       the next epoch
free                             renews, stays, succeeds     refused
================================ =========================== ===================================

*Source*: leases and a term that fences what is late: Gray and Cheriton 1989; Chubby, Burrows 2006.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced
from enum import Enum

from nameserver.changes import Registrant
from nameserver.errors import NamingError, NotLeader

__all__ = [
    "ACTS_SHARE",
    "GRACE_S",
    "LEAST_LEASE_S",
    "MOST_EPOCH",
    "MOST_LEASE_S",
    "Claim",
    "Leadership",
    "Leaderships",
    "Manner",
    "acts_until",
]

LEAST_LEASE_S, MOST_LEASE_S = 0.2, 5.0

GRACE_S = MOST_LEASE_S * 1.05
"""So long after a start nothing is taken, in seconds: longer than any lease, however clocks run."""

ACTS_SHARE = 0.75
"""A holder acts for so much of its lease. The rest is for clocks that run differently fast, and for
letting go of what is under way."""

MOST_EPOCH = 2**53
"""No higher one is believed or asked for: whoever says so without need leaves room for the next."""

_MOST_PER_NODE = 1_000
_MOST = 10_000


def acts_until(sent_at: float, lease_s: float) -> float:
    """Return until when a holder acts.

    Args:
        sent_at: When it was about to send the request that was granted, by its own clock: one that
            also counts while its machine sleeps.
        lease_s: What it has asked for, in seconds.
    """
    return sent_at + ACTS_SHARE * lease_s


class Manner(Enum):
    """How somebody asks for a leadership."""

    TAKE = "take"
    """As whoever begins to lead, or begins anew with its own copy."""

    SUCCEED = "succeed"
    """As the successor that its holder has named."""

    RENEW = "renew"
    """As the holder."""

    STAY = "stay"
    """As the holder, whom a name server that has forgotten it had told that it has no successor: so
    nobody can have come after it."""


@dataclass(frozen=True, slots=True)
class Leadership:
    """Who leads a name.

    Attributes:
        epoch: Grows with each holder.
        holder: Id of the copy that it leads by; empty: the name is free.
        successor: Id of the copy that is in step with it; empty: there is none.
        node: The machine of the holder, by its certificate; empty: not proven.
        left_s: So long its lease runs on, in seconds; 0: it is over.
        lease_s: How long one is.
        successor_node: The machine that the successor has to be on; empty: any.
        run: Tells a holder's process from the next one with the same copy. Not told to others.
        turn: Number of its last request.
    """

    name: str
    epoch: int
    holder: str
    successor: str = ""
    node: str = ""
    left_s: float = 0.0
    lease_s: float = 0.0
    successor_node: str = ""
    run: str = ""
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody asks for. The fields are those of the leadership that it would be."""

    name: str
    holder: str
    epoch: int
    lease_s: float
    manner: Manner = Manner.TAKE
    successor: str = ""
    successor_node: str = ""
    run: str = ""
    turn: int = 0


class Leaderships:
    """Who leads which names. As in ``Registry``: decide, keep, apply; whoever uses it has the lock.

    Args:
        kept: What was kept in the run before.
        now: The time; each of these has its whole lease from now on.
    """

    def __init__(self, kept: Iterable[Leadership] = (), now: float = 0.0) -> None:
        self._held = {each.name: replaced(each, left_s=0.0) for each in kept}
        self._ends = {each.name: now + each.lease_s for each in self._held.values()}
        self._of_node = Counter(each.node for each in self._held.values())
        self._takes_from = now + GRACE_S

    # What is asked.

    def leader(self, name: str, now: float) -> Leadership | None:
        """Return who leads a name, or led it last; None: nothing is known."""
        held = self._held.get(name)
        return None if held is None else self._told(held, now)

    def all(self, now: float) -> Sequence[Leadership]:
        """Return all, in the order of their names."""
        return [self._told(self._held[name], now) for name in sorted(self._held)]

    # What is decided. Nothing changes yet.

    def ask(self, claim: Claim, by: Registrant, now: float) -> Leadership:
        """Return the leadership that is granted.

        Raises:
            NotLeader: It is not, and why.
            NamingError: There are too many already.
        """
        held = self._held.get(claim.name)
        if claim.epoch > max(MOST_EPOCH, held.epoch if held else 0):
            raise NamingError(f"no farm has had {claim.epoch} masters: ask for a lower epoch")
        if claim.manner in (Manner.RENEW, Manner.STAY):
            return self._renewed(claim, by, held, now)
        if held is not None and self._is_repeated(claim, by, held, now):
            return _granted(claim, by, held.epoch)
        if now < self._takes_from:
            raise self._too_early(claim.name, now)
        if held is None or not held.holder:
            return self._begun(claim, by, held)
        return self._taken(claim, by, held, now)

    def resigned(
        self, name: str, holder: str, epoch: int, by: Registrant, *, run: str = "", turn: int = 0
    ) -> Leadership | None:
        """Return a leadership that its holder lets go of; None: it has none any more.

        To be applied with ``runs=False``.
        """
        held = self._held.get(name)
        if held is None or (held.holder, held.epoch, held.run) != (holder, epoch, run):
            return None
        if turn < held.turn or not _is_on(held.node, by):
            return None
        return replaced(held, turn=turn)

    def freed(self, name: str, now: float) -> Leadership:
        """Return a leadership that whoever asks may take, with the next epoch.

        Raises:
            NotLeader: It is led, and the lease runs; or that is not known yet.
        """
        held = self._held.get(name)
        if held is not None and now < self._ends[name]:
            raise _refused(self._told(held, now), "end its holder first")
        if now < self._takes_from:
            raise self._too_early(name, now)
        return Leadership(name, held.epoch if held else 0, "")

    def is_to_keep(self, decided: Leadership) -> bool:
        """Tell whether something is other than before, beside the time and the turn."""
        held = self._held.get(decided.name)
        return held is None or held != replaced(decided, turn=held.turn)

    # What happens.

    def apply(self, decided: Leadership, now: float, *, runs: bool = True) -> Leadership:
        """Make it so; returns what is told of it.

        Args:
            decided: The leadership.
            now: The time.
            runs: Its lease begins now; else it is over.
        """
        held = self._held.get(decided.name)
        if held is not None:
            self._of_node[held.node] -= 1
        self._of_node[decided.node] += 1
        ends_at = now + decided.lease_s if runs else now
        if runs and held is not None and held.epoch == decided.epoch:
            ends_at = max(ends_at, self._ends[decided.name])  # a longer one was granted before
        self._held[decided.name] = decided
        self._ends[decided.name] = ends_at
        return self._told(decided, now)

    def _told(self, held: Leadership, now: float) -> Leadership:
        return replaced(held, left_s=max(0.0, self._ends[held.name] - now), run="", turn=0)

    def _is_repeated(self, claim: Claim, by: Registrant, held: Leadership, now: float) -> bool:
        """Tell whether it has what it asks for already, and does not know it."""
        return (
            bool(claim.run)
            and (held.holder, held.run) == (claim.holder, claim.run)
            and _is_on(held.node, by)
            and claim.turn >= held.turn
            and now < self._ends[held.name]
        )

    def _renewed(
        self, claim: Claim, by: Registrant, held: Leadership | None, now: float
    ) -> Leadership:
        is_fresh = now < self._takes_from
        if held is None:
            if is_fresh or claim.manner is Manner.STAY:
                self._refuse_many(by)
                return _granted(claim, by, claim.epoch)
            raise NotLeader(
                f"nothing is known of a leadership of {claim.name!r} that could be renewed: the "
                "name server was away for longer than the lease; take it again"
            )
        if is_fresh and claim.epoch > held.epoch:  # older knowledge was put back
            return _granted(claim, by, claim.epoch)
        is_its = (held.epoch, held.holder, held.run) == (claim.epoch, claim.holder, claim.run)
        if not is_its or not _is_on(held.node, by):
            raise _refused(self._told(held, now), f"epoch {claim.epoch} of {claim.holder} is over")
        _refuse_overtaken(claim, held)
        return _granted(claim, by, claim.epoch)

    def _begun(self, claim: Claim, by: Registrant, held: Leadership | None) -> Leadership:
        """Nobody leads."""
        if claim.manner is Manner.SUCCEED:
            raise NotLeader(
                f"nothing is known of who has led {claim.name!r}, so it is not known whether "
                f"{claim.holder} has all that was acknowledged. If no master acts, and this is the "
                f"latest copy: 'nameserver leaders --free {claim.name}', and start one with it"
            )
        if held is None:
            if claim.epoch > 1:
                raise NotLeader(
                    f"nothing is known of who has led {claim.name!r}, and the copy {claim.holder} "
                    f"was led before, until epoch {claim.epoch - 1}: another copy may have been "
                    "led since. If this is the latest one, and no master acts: 'nameserver leaders "
                    f"--free {claim.name}', and ask again. A name server with --store forgets none"
                )
            self._refuse_many(by)
            return _granted(claim, by, 1)
        return _granted(claim, by, max(claim.epoch, held.epoch + 1))

    def _taken(self, claim: Claim, by: Registrant, held: Leadership, now: float) -> Leadership:
        told = self._told(held, now)
        if now < self._ends[held.name]:
            raise _refused(told, f"its lease runs for another {told.left_s:.1f} s")
        if claim.holder == held.holder:
            if not _is_on(held.node, by):
                raise _refused(told, f"this copy is bound to the machine {held.node}")
            if claim.run == held.run:
                _refuse_overtaken(claim, held)
        elif claim.holder != held.successor:
            raise _refused(
                told,
                f"the copy {claim.holder} may lack what was acknowledged: follow with it as a "
                "standby; or, if the others are lost, 'nameserver leaders --free NAME'",
            )
        elif not _is_on(held.successor_node, by):
            raise _refused(told, f"its successor is bound to the machine {held.successor_node}")
        return _granted(claim, by, max(claim.epoch, held.epoch + 1))

    def _too_early(self, name: str, now: float) -> NotLeader:
        return NotLeader(
            f"the leadership of {name!r} is not given to anybody in the next "
            f"{self._takes_from - now:.1f} s: the name server has just started, and whoever had it "
            "may have it still; ask again then"
        )

    def _refuse_many(self, by: Registrant) -> None:
        if (by.node and self._of_node[by.node] >= _MOST_PER_NODE) or len(self._held) >= _MOST:
            raise NamingError(
                f"there are too many leaderships already: {_MOST_PER_NODE} of one machine, {_MOST} "
                "in all are possible"
            )


def _granted(claim: Claim, by: Registrant, epoch: int) -> Leadership:
    return Leadership(
        claim.name,
        epoch,
        claim.holder,
        claim.successor,
        by.node,
        lease_s=claim.lease_s,
        successor_node=claim.successor_node if claim.successor else "",
        run=claim.run,
        turn=claim.turn,
    )


def _is_on(node: str, by: Registrant) -> bool:
    return not node or node == by.node


def _refuse_overtaken(claim: Claim, held: Leadership) -> None:
    if claim.turn < held.turn:
        raise NotLeader(
            f"a later request of {claim.holder} for {claim.name!r} has overtaken this one, which "
            "does not count"
        )


def _refused(held: Leadership, why: str) -> NotLeader:
    if not held.holder:
        return NotLeader(f"{held.name!r} is free since epoch {held.epoch}: {why}")
    return NotLeader(
        f"{held.name!r} is led by {held.holder}"
        f"{f' on the machine {held.node}' if held.node else ''}, since epoch {held.epoch}: {why}"
    )
