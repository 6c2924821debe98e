"""Slaves at the master's table: who they are, what is on its way to them, and their polls."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field

from masterslave.master.mailbox import Mailbox
from masterslave.protocol.encoding import encode
from masterslave.protocol.joining import CODE, Introduction, on_tag, task_tag
from masterslave.protocol.verbs import Instructions
from remoteobj import THIS_MACHINE, URI, BadURI, DeferredReply

__all__ = [
    "ENDED",
    "NOTHING",
    "UNKNOWN",
    "Poll",
    "Seat",
    "address_of",
    "answer",
    "bare_name",
    "offers_of",
    "tags_of",
    "take_poll",
]

NOTHING = encode(Instructions())
UNKNOWN = encode(Instructions(unknown=True))
ENDED = encode(Instructions(ended=True))
"""Answers that say nothing of a task: ask anew; join anew; do not come back."""

_ALL_ADDRESSES = ("0.0.0.0", "::")


class Poll(DeferredReply):
    """A slave's question that is answered later; ``until`` is when at the latest."""

    def __init__(self, until: float) -> None:
        super().__init__()
        self.until = until


@dataclass(slots=True, eq=False)
class Seat:
    """A slave at the table.

    Attributes:
        slave: Its name at the scheduler, and to people: ``host#1``.
        token: Its name on the wire, which it alone is told: who knows it is the slave.
        names: By which names the scheduler has known it: this one, and those before it joined anew.
        delivered: Number of the last outcome that it has delivered.
        recorded: Number of the last one that it need not keep: with a journal, that is on the disk.
        line: Number of the last line that it has delivered, of what its tasks print.
        done: Tasks that it has answered.
        state: "here", "quarantined", "left" or "lost".
        is_own: Whether the farm has started it, on this machine: it may be lent memory.
        evidence: Why it is quarantined.
        says: Why it takes nothing now, in its own words; empty if it does.
        poll: What it waits for.
        slots: What it has said last that it would run at once.
        blobs: Hashes of what it has asked for: it is told when that is gone.
        gives_at: Where it gives others what it has fetched of that; empty: nowhere.
        gives: Of those that it can give, to how many slaves each.
        takes: From whom it fetches a blob just now, by its hash.
        sent_bytes: Of blobs, that the master has sent it.
        given_bytes: Of blobs, that it has given to other slaves, as these say.
        lost_pieces: How often one was sent to it and was given nothing.
        wrong_pieces: How often it gave something else.
        lacks: Packages that are missing there, and that the script has.
        told_at: When the scheduler was told last that it was heard of.
    """

    slave: str
    token: str = field(repr=False)
    introduction: Introduction
    peer: str
    is_own: bool = False
    names: tuple[str, ...] = ()
    mailbox: Mailbox = field(default_factory=Mailbox)
    delivered: int = 0
    recorded: int = 0
    line: int = 0
    done: int = 0
    state: str = "here"
    evidence: tuple[str, ...] = ()
    says: str = ""
    poll: Poll | None = None
    slots: int = -1
    told_at: float = 0.0
    lacks: tuple[str, ...] = ()
    blobs: set[bytes] = field(default_factory=set)
    gives_at: str = field(init=False)
    gives: dict[bytes, int] = field(default_factory=dict)
    takes: dict[bytes, Seat] = field(default_factory=dict, repr=False)
    sent_bytes: int = 0
    given_bytes: int = 0
    lost_pieces: int = 0
    wrong_pieces: int = 0

    def __post_init__(self) -> None:
        self.gives_at = address_of(self.introduction.gives, self.peer)

    def note_recorded(self, sequence: int) -> None:
        """It need not keep its outcomes up to this one."""
        self.recorded = max(self.recorded, sequence)

    @property
    def tags(self) -> frozenset[str]:
        """What it has, as tasks may ask for it; one of them is its own alone."""
        return tags_of(self.introduction) | {on_tag(self.slave)}

    @property
    def is_gone(self) -> bool:
        """Whether it has left the table, in peace or not."""
        return self.state in ("left", "lost")


def bare_name(slave: str) -> str:
    """Return what a slave calls itself, from its name at the scheduler."""
    return slave.rpartition("#")[0]


def address_of(uri: str, peer: str) -> str:
    """Return where a slave gives what it has, as others reach it; empty: nowhere.

    Args:
        uri: What it says.
        peer: Where it comes from. Who comes by a socket on this machine is met at one, too.
    """
    try:
        told = URI(uri) if uri else None
    except BadURI:
        return ""
    if told is None or (told.sockname is not None) != (peer == THIS_MACHINE):
        return ""
    if told.sockname is None and (told.host is None or told.port is None):  # it is a name
        return ""
    if told.host in _ALL_ADDRESSES:
        return str(URI.of_tcp(told.object, peer.rpartition(":")[0].strip("[]"), told.port or 0))
    return str(told)


def offers_of(introduction: Introduction) -> dict[str, float]:
    """Return what a slave offers: amounts, whatever it says."""
    return {name: x for name, x in introduction.offers.items() if x > 0 and math.isfinite(x)}


def tags_of(introduction: Introduction) -> frozenset[str]:
    """Return what a slave has, as tasks may ask for it."""
    tags = {on_tag(introduction.name), on_tag(introduction.host)}
    if introduction.python == sys.version_info[:2] and not introduction.only_named:
        tags.add(CODE)
    return frozenset(tags.union(map(task_tag, introduction.tasks)))


def take_poll(seat: Seat) -> Poll | None:
    """Return the poll that waits, which is then the caller's to answer."""
    poll, seat.poll = seat.poll, None
    return poll


def answer(poll: Poll | None, instructions: bytes) -> None:
    """Answer a slave that waits; its connection is somebody else's matter."""
    if poll is not None:
        poll.set(instructions)
