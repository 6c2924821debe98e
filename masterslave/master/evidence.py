"""What slaves tell of losses and of broken initializers, in words; they may tell nonsense."""

from __future__ import annotations

import msgspec

from masterslave.errors import FarmBroken, SlaveTraceback
from masterslave.master.seats import bare_name
from masterslave.protocol.encoding import decode
from masterslave.protocol.outcomes import PostMortem, Raised
from remoteobj import WireError

__all__ = ["broken_by", "post_mortem_of", "reason_of_loss", "reason_why_unable"]

_MOST_CHARS = 8 * 1024
_MOST_CHARS_OF_STACKS = 64 * 1024
"""As much of a post-mortem's texts is kept; a slave may send anything."""


def post_mortem_of(payload: bytes) -> PostMortem:
    """Return how a child died, from what its slave says; none of it is longer than it should be."""
    try:
        told = decode(payload, PostMortem)
    except WireError:
        return PostMortem("its process died, and its slave does not say how")
    return msgspec.structs.replace(
        told,
        how=told.how[:_MOST_CHARS],
        output=told.output[-_MOST_CHARS:],
        memory=told.memory[:_MOST_CHARS],
        stacks=told.stacks[:_MOST_CHARS_OF_STACKS],
    )


def reason_of_loss(post_mortem: PostMortem) -> str:
    """Return how a child died, and the last that it printed."""
    words, output = post_mortem.how, post_mortem.output
    return f"{words}; its last output: {output}" if output else words


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
