"""A journal that is copied while it is written: what a copy says to the master, and is told.

::

    standby                                    master
      meet     Hello -> Met                    what it has: is it the journal's beginning?
      follow   Poll -> Rows                    all before is on its disk; waits for more, a while

Rows are those of the journal's tables, each with its number and its checksum. A copy is *in step*
when the name server knows it as the one that may take over: from then on the master acknowledges
nothing that is not on the copy's disk.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["FOLLOWING", "FOLLOW_ID", "NUMBERED", "Hello", "Met", "Poll", "Rows"]

FOLLOWING = 1
"""Version of this conversation; a standby of another one is refused in words."""

FOLLOW_ID = "masterslave.following"
"""Id of the object in the master's daemons."""

NUMBERED = tuple[int, int, bytes]
"""A row: its number, its checksum, and what is in it."""


class Hello(Struct, frozen=True):
    """A copy says what it is.

    Attributes:
        copy_id: Of the copy; empty: there is none yet.
        seq: Number of its last row of facts, and *row* of its last one of payloads.
        facts: Digest of the numbers and checksums of its rows of facts, and *payloads* of others.
        epoch: The highest that it knows of.
        host: Where it is, for people.
    """

    version: int
    label: str
    copy_id: str = ""
    farm_id: str = ""
    seq: int = 0
    row: int = 0
    facts: bytes = b""
    payloads: bytes = b""
    epoch: int = 0
    host: str = ""
    pid: int = 0


class Met(Struct, frozen=True):
    """What the master makes of a copy.

    Attributes:
        refused: Why it cannot be one, and what to do; empty: it can.
        is_anew: It is no beginning of this journal: it has to be made anew, and to say hello again.
        session: To be said with each poll.
        poll_s: After so long a poll is answered, also with nothing.
        arbiter: Address of the name server that decides who leads; empty: as the cluster has it.
    """

    refused: str = ""
    is_anew: bool = False
    farm_id: str = ""
    epoch: int = 0
    session: int = 0
    poll_s: float = 0.0
    arbiter: str = ""


class Poll(Struct, frozen=True, array_like=True):
    """All up to these numbers is on the copy's disk; what comes next?

    Attributes:
        is_leaving: It follows no more, and wants no rows.
    """

    session: int
    copy_id: str
    seq: int
    row: int
    is_leaving: bool = False


class Rows(Struct, frozen=True, array_like=True):
    """What comes next, or nothing after a while.

    Attributes:
        epoch: Of the master that says it: a copy believes none with a lower one than it knows.
        run: The master's.
        is_in_step: The copy may take over.
        why_not: Why it may not, in words; empty where it only has not come so far.
        is_unknown: The master does not know this session: say hello.
    """

    epoch: int
    run: int
    facts: tuple[NUMBERED, ...] = ()
    payloads: tuple[NUMBERED, ...] = ()
    is_in_step: bool = False
    why_not: str = ""
    is_unknown: bool = False
