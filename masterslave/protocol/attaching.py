"""Scripts that attach to a farm which runs by itself: what they say, and what they are told.

::

    script                                       reception (beside the door, in the same daemons)
      attach    Greeting -> Admission            with a ticket of an earlier time, or for a new one
      submit    Request -> Taken                 answered when it is on the disk
      offer     Offer -> Taken                   some of an object that tasks will refer to
      collect   Collect -> Answers               waits, at most a heartbeat
      cancel    Cancel -> Taken
      leave     Leave -> Taken                   the ticket is kept, or forgotten

The tasks of a ticket have *serials*: 0, 1, 2 ... in the order in which they were submitted. A
script sends again what it does not know to be taken, and the farm what it does not know to have
arrived: whoever hears of a serial twice passes over it.
"""

from __future__ import annotations

from msgspec import Struct

from masterslave.protocol.hand_outs import CALL, Form
from masterslave.protocol.outcomes import VALUE, OutcomeKind
from remoteobj import URI

__all__ = [
    "ATTACHING",
    "CANCELLED",
    "FAILED",
    "GIVEN_UP",
    "OUTCOME",
    "PARTLY",
    "PARTS_LOST",
    "PREDECESSOR_FAILED",
    "RECEPTION_ID",
    "Admission",
    "Answers",
    "Cancel",
    "Collect",
    "Greeting",
    "Leave",
    "Offer",
    "Request",
    "SentAnswer",
    "SentFunction",
    "SentTasks",
    "Taken",
    "reception_at",
]

ATTACHING = 1
"""Version of this conversation; a script of another one is refused in words."""

RECEPTION_ID = "masterslave.reception"
"""Id of the reception in its daemon."""

OUTCOME, GIVEN_UP, CANCELLED, FAILED, PREDECESSOR_FAILED, PARTLY = range(6)
"""What an answer is; PARTLY is none: the task goes on, and has yielded or told something."""

PARTS_LOST = 100
"""Kind of a PARTLY beside those of ``protocol.outcomes``: of the parts below number ``skip`` those
that have not come do not come any more."""


class Greeting(Struct, frozen=True):
    """A script says who it is.

    Attributes:
        ticket: The one that it has; empty: it wants one.
        farm_id: Of the farm that the ticket is of, if it knows.
        epoch: The latest of that farm that it has heard of.
        is_whole: Every answer of the ticket is wanted; else those of *open* only.
        open: Serials that it waits for: ``(first, count)`` of each row.
        visitor: Drawn by the script when it comes, and said again when it has lost its connection;
            then it is let in only if nobody else is here with its ticket, or has submitted tasks
            meanwhile.
        taken: Serials below this one it knows to be on the disk, when it comes again; -1: it does
            not say.
    """

    version: int
    script: str
    host: str
    pid: int
    python: tuple[int, int]
    ticket: str = ""
    farm_id: str = ""
    epoch: int = 0
    is_whole: bool = True
    open: tuple[tuple[int, int], ...] = ()
    visitor: str = ""
    taken: int = -1


class Admission(Struct, frozen=True):
    """The script is let in, or told in ``refused`` why not and what to do.

    Attributes:
        taken: Serials below this one are on the disk.
        tasks: What the ticket has, for a script that comes back: ``(first, count, name of the
            function)`` of each row.
        origin: What handles of shared objects name this farm by; the same in each of its runs.
        is_other: It was refused because this is not the master that it looks for: that may be found
            elsewhere, or later.
    """

    refused: str = ""
    ticket: str = ""
    label: str = ""
    farm_id: str = ""
    epoch: int = 0
    heartbeat_s: float = 0.0
    taken: int = 0
    tasks: tuple[tuple[int, int, str], ...] = ()
    data_only: bool = False
    max_attempts: int = 3
    origin: str = ""
    is_other: bool = False


class SentFunction(Struct, frozen=True, array_like=True):
    """A function, as ``master.submission.Function`` has it.

    Attributes:
        code: Name of the code set that it wants; empty for none.
        parts: What slaves need for it, by hash; those only that were not sent before.
    """

    digest: bytes
    packed: bytes
    name: str
    kind: str
    is_named: bool = False
    code: bytes = b""
    parts: dict[bytes, bytes] = {}


class SentTasks(Struct, frozen=True, array_like=True):
    """Tasks of one function on the same terms, their serials in a row.

    Attributes:
        first: Serial of the first.
        function: Its digest.
        terms: A packed ``scheduler.Terms``, whose number of the function says nothing.
        arguments: Of each, packed: of a CALL as its hand-out has them, of an item as a hand-out of
            this item alone has them.
        form: CALL, or of items EACH or EACH_STARRED.
        after: Serials of tasks of this ticket that have to succeed before.
        item_bytes: Of the largest item, about.
        given: Results of single tasks of this ticket that these refer to as shared objects: what
            handles name each by, and the serial of its task, which is in *after* as well.
    """

    first: int
    function: bytes
    terms: bytes
    arguments: tuple[bytes, ...]
    form: Form = CALL
    after: tuple[int, ...] = ()
    item_bytes: int = 0
    given: tuple[tuple[bytes, int], ...] = ()


class Request(Struct, frozen=True, array_like=True):
    """A script submits tasks; functions come with the first tasks that need them."""

    ticket: str
    functions: tuple[SentFunction, ...]
    tasks: tuple[SentTasks, ...]


class Offer(Struct, frozen=True, array_like=True):
    """Some of an object that the script shares, before the first task that refers to it.

    It is whole when each part has come to its end; what comes twice is passed over. The farm keeps
    it for as long as the ticket.

    Attributes:
        digest: What handles name it by.
        sizes: Of its parts, in bytes.
        part: Where *data* belongs: in which part, and
        offset: how many bytes are before it there.
    """

    ticket: str
    digest: bytes
    sizes: tuple[int, ...]
    part: int
    offset: int
    data: bytes


class Taken(Struct, frozen=True, array_like=True):
    """Serials below *taken* are kept, whatever happens to script or farm; or *refused* says why
    nothing was taken, and what to do.

    Attributes:
        is_out: It was refused because the caller is not attached (any more): its connection was
            lost, say. It may attach again.
    """

    taken: int = 0
    refused: str = ""
    is_out: bool = False


class Collect(Struct, frozen=True, array_like=True):
    """A script asks for answers.

    Attributes:
        acknowledged: How many it has got since it was admitted: those are not sent again.
    """

    ticket: str
    acknowledged: int


class SentAnswer(Struct, frozen=True, array_like=True):
    """What became of tasks in a row.

    Attributes:
        what: OUTCOME, or what there is in the place of one, whose words are in *payload*.
        skip: Which of the payload's items is that of the first; below 0: it is no list of items,
            and -1 - skip parts were yielded before it. Of a PARTLY, the number of the part.
        slave: Who has brought it, by name.
        predecessor: Serial of the task that has failed before this one; -1: none.
    """

    first: int
    count: int
    what: int = OUTCOME
    kind: OutcomeKind = VALUE
    skip: int = -1
    payload: bytes = b""
    slave: str = ""
    predecessor: int = -1


class Answers(Struct, frozen=True, array_like=True):
    """Answers that were not acknowledged, the first of them with number *since*.

    Attributes:
        refused: Why there are none any more, and what to do; empty: there are.
        waits: What tasks wait for, in words, for people.
        is_out: As of ``Taken``.
    """

    since: int
    answers: tuple[SentAnswer, ...] = ()
    refused: str = ""
    waits: str = ""
    is_out: bool = False


class Cancel(Struct, frozen=True, array_like=True):
    """A script wants tasks no more: ``(first, count)`` of each row; each is answered."""

    ticket: str
    serials: tuple[tuple[int, int], ...]


class Leave(Struct, frozen=True, array_like=True):
    """A script goes; with *forget*, tasks and answers of its ticket are not wanted any more."""

    ticket: str
    forget: bool = False


def reception_at(door: URI) -> URI:
    """Return where the reception is, by where the farm's door is."""
    return URI(f"PYRO:{RECEPTION_ID}@{door.location}")
