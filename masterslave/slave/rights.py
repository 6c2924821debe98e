"""What the owner of a slave lets the scripts of others do on it (pure).

``--only`` takes named tasks with data, and nothing else. A master is told so when the slave joins,
and sends nothing else; one that lies is not believed. What it sends is looked at here, by its
bytes, before anything is handed to a child; and a child that is told so unpickles nothing.
"""

from __future__ import annotations

import msgspec
from msgspec import structs

from masterslave.packed import BESIDE, DATA
from masterslave.protocol.encoding import encode
from masterslave.protocol.functions import NAMED
from masterslave.protocol.hand_outs import BUNDLED, BUNDLED_STARRED, WireTask
from masterslave.protocol.joining import ONLY_NAMED, GivenHandlers, Welcome
from masterslave.protocol.outcomes import NOT_DATA, UNABLE, Outcome, Raised
from remoteobj.unreadable import UNREADABLE

__all__ = ["refuse", "without_code_in"]

_read_bundle = msgspec.msgpack.Decoder(list[bytes]).decode

_NO_FUNCTION = f"this slave takes no functions: it {ONLY_NAMED}"
_NO_DATA = (
    f"an argument could only be pickled, and this slave {ONLY_NAMED}: give plain data, such as "
    "numbers, texts, lists or arrays"
)


def without_code_in(welcome: Welcome) -> Welcome:
    """Return what a farm wants of the slave, without what is code or finds any."""
    return structs.replace(
        welcome,
        no_code=ONLY_NAMED,
        data_only=True,
        initializer=b"",
        search_path=(),
        handlers=GivenHandlers(),
    )


def refuse(task: WireTask, function: bytes) -> Outcome | None:
    """Return what is answered to a hand-out that is no named task with data; None: it is one.

    Args:
        function: What was sent as its function.
    """
    if function[:1] != NAMED:
        why = _NO_FUNCTION
    elif not _are_data(task):
        why = _NO_DATA
    else:
        return None
    payload = encode(Raised(NOT_DATA, why, why))
    return Outcome(task.task, task.attempt, task.count, UNABLE, payload)


def _are_data(task: WireTask) -> bool:
    """Tell whether arguments are data; what is lent could be anything, too."""
    parts = [task.arguments]
    if task.form in (BUNDLED, BUNDLED_STARRED):
        try:
            parts = _read_bundle(task.arguments)
        except UNREADABLE:
            return False
    return all(part[:1] in (DATA, BESIDE) for part in parts)
