"""What slaves tell of losses and of broken initializers, in words; they may tell nonsense."""

from __future__ import annotations

from masterslave.errors import FarmBroken, SlaveTraceback
from masterslave.master.seats import bare_name
from masterslave.protocol.encoding import decode
from masterslave.protocol.outcomes import PostMortem, Raised
from remoteobj import WireError

__all__ = ["broken_by", "reason_of_loss", "reason_why_unable"]


def reason_of_loss(payload: bytes) -> str:
    """Return how a child died, and the last that it printed, from a packed ``PostMortem``."""
    try:
        words = decode(payload, PostMortem)
    except WireError:
        return "its process died, and its slave does not say how"
    return f"{words.how}; its last output: {words.output}" if words.output else words.how


def reason_why_unable(payload: bytes) -> str:
    """Return why a slave cannot run a function, from a packed ``Raised``."""
    try:
        raised = decode(payload, Raised)
    except WireError:
        return "it does not say why"
    return f"{raised.type_name.rpartition('.')[2]}: {raised.message}"


def broken_by(payload: bytes, slave: str) -> FarmBroken:
    """Return the error of a farm whose initializer failed, from a packed ``Raised``."""
    try:
        raised = decode(payload, Raised)
    except WireError as error:
        raised = Raised("an error", f"its slave does not say which ({error})", "")
    broken = FarmBroken(
        f"the initializer failed on slave {bare_name(slave)}: {raised.type_name}: "
        f"{raised.message}; no task can run: make a new farm"
    )
    broken.__cause__ = SlaveTraceback(slave, raised.traceback)
    return broken
