"""What slaves tell of losses and of broken initializers, in words; they may tell nonsense."""

from __future__ import annotations

import re

import msgspec

from masterslave.errors import FarmBroken, SlaveTraceback
from masterslave.master.seats import bare_name
from masterslave.printed import show_text
from masterslave.protocol.encoding import decode
from masterslave.protocol.outcomes import PostMortem, Raised
from remoteobj import WireError

__all__ = ["broken_by", "post_mortem_of", "reason_of_loss", "reason_why_unable"]

_MOST_WORDS = 500
_MOST_CHARS = 8 * 1024
_MOST_CHARS_OF_STACKS = 64 * 1024
"""As much of a post-mortem's texts is said in an error, or kept; a slave may send anything."""

_TASK = "in the task (most recent call first):"
_CALL = re.compile(r'  File "([^"\n]{1,500})", line (\d{1,9}) in ([^\n]{1,200})')
_SLASH = re.compile(r"[/\\]")


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
    """Return how a child died, where, and the last that it printed: what an error says of it."""
    words = post_mortem.how + _place_in(post_mortem.stacks)
    output = post_mortem.output[-_MOST_WORDS:]
    return show_text(f"{words}; its last output: {output}" if output else words)


def _place_in(stacks: str) -> str:
    """Return where a task was, from the stacks of its process; they may be anything."""
    _, found, calls = stacks.partition(_TASK)
    places = _CALL.findall(calls.partition("\nin another thread")[0])[:2]
    if not found or not places:
        return ""
    named = [f"{name}() (line {line} of {_SLASH.split(file)[-1]})" for file, line, name in places]
    return f" in {', called by '.join(named)}"


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
