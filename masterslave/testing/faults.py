"""What goes wrong and when: a plan of faults, drawn from a seed, and nothing that acts.

Whoever carries a plan out, on a fake clock or with real processes, takes the faults in their order.
What cannot be hurt at its time (it is down already, or there is none) is left alone.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from random import Random

from msgspec import Struct

__all__ = ["EVERYTHING", "Fault", "Kind", "plan"]


class Kind(StrEnum):
    """What can go wrong. ``for_s`` is how long it does, unless said otherwise."""

    KILL_SLAVE = "kill_slave"
    """An agent with its children, by ``kill -9``; after ``for_s`` another one is started."""

    STOP_SLAVE = "stop_slave"
    """An agent with its children, by ``SIGSTOP``; continued after ``for_s``."""

    KILL_CHILD = "kill_child"
    """One process of a slave's; ``for_s`` is 0: its slave starts another one."""

    KILL_MASTER = "kill_master"
    """By ``kill -9``; started again, on the same journal, after ``for_s``."""

    STOP_MASTER = "stop_master"
    """By ``SIGSTOP``; continued after ``for_s``."""

    KILL_NAMESERVER = "kill_nameserver"
    """By ``kill -9``; started again, on the same storage, after ``for_s``."""

    KILL_STANDBY = "kill_standby"
    """By ``kill -9``; started again, on the same copy, after ``for_s``."""

    CUT = "cut"
    """The link of a slave's host is down: nobody is told."""

    HALF_OPEN = "half_open"
    """Of a slave's connections one side believes that it is open, and the other has lost it."""

    SLOW = "slow"
    """What travels to and from a slave comes late."""

    LOSSY = "lossy"
    """Some of what travels to and from a slave is lost, with its connection."""

    DUPLICATE = "duplicate"
    """Some of what a slave sends comes twice."""

    TRUNCATE = "truncate"
    """Of some of what a slave sends the end is missing, and the connection ends."""

    FULL_DISK = "full_disk"
    """The disk of the journal is full."""

    CLOCK_BACK = "clock_back"
    """A host's clock of the day is set back by ``for_s``, and is not put right."""

    OUT_OF_MEMORY = "out_of_memory"
    """The system ends a child that uses too much; ``for_s`` is 0."""


EVERYTHING = tuple(Kind)

_AT_ONCE = frozenset({Kind.KILL_CHILD, Kind.OUT_OF_MEMORY})
_TARGETS = 1 << 16


class Fault(Struct, frozen=True):
    """One thing that goes wrong.

    Attributes:
        at_s: When, in seconds since the beginning.
        target: Which of those that there are: its remainder by how many they are.
        for_s: How long, in seconds; what that means of a kind, :class:`Kind` says.
    """

    at_s: float
    kind: Kind
    target: int
    for_s: float


def plan(
    seed: int,
    seconds: float,
    kinds: Collection[str] = EVERYTHING,
    *,
    every_s: float = 1.0,
    long_s: float = 6.0,
) -> tuple[Fault, ...]:
    """Draw what goes wrong: equal arguments, equal plans, on every machine.

    A seed chooses some of the kinds, so that each is also seen without the others; how dense they
    are; and how many of them are long.

    Args:
        seed: Whatever is drawn is drawn from it.
        seconds: How long it goes on. Faults begin in the first nine tenths of it, and are over by
            its end, clocks aside.
        kinds: Those that may be chosen (:class:`Kind` or its words), in any order.
        every_s: The usual time between two faults, in seconds; a seed's is up to four times less
            or more.
        long_s: What is long: more than any lease that somebody holds, in seconds. Long faults last
            up to twice as long, short ones up to a tenth.
    Raises:
        ValueError: There is no kind of this name; :class:`Kind` has them.
    """
    random = Random(f"{seed}: a plan of faults")
    allowed = sorted({Kind(kind) for kind in kinds})
    if not allowed or seconds <= 0:
        return ()
    chosen = sorted(random.sample(allowed, random.randint(1, len(allowed))))
    gap_s = every_s * random.choice((0.25, 0.5, 1.0, 2.0, 4.0))
    long_share = random.choice((0.0, 0.2, 0.5, 1.0))
    faults: list[Fault] = []
    at_s = random.expovariate(1 / gap_s)
    at_s %= 0.9 * seconds  # a plan has one fault at least
    while at_s < 0.9 * seconds:
        kind = random.choice(chosen)
        is_long = random.random() < long_share
        for_s = random.uniform(long_s, 2 * long_s) if is_long else random.uniform(0, long_s / 10)
        if kind in _AT_ONCE:
            for_s = 0.0
        elif kind is not Kind.CLOCK_BACK:
            for_s = min(for_s, seconds - at_s)
        faults.append(Fault(round(at_s, 6), kind, random.randrange(_TARGETS), round(for_s, 6)))
        at_s += random.expovariate(1 / gap_s)
    return tuple(faults)
