"""A method of a remote object, as its proxy hands it out: a function, and a fast one."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from remoteobj.client.channel import Channel
from remoteobj.errors import WireError
from remoteobj.payload import BINARY, OUT_OF_BAND_BYTES, PLAIN, write_plain
from remoteobj.wire import PLAIN_BYTES, SIMPLE, SUFFIX, MessageType, prefix_of

__all__ = ["make_method"]

_CALL = prefix_of(MessageType.INVOKE, BINARY)
_simple = SIMPLE.pack


def make_method(channel: Channel, name: str, timeout_s: float | None) -> Callable[..., Any]:
    """Return a function that calls the method *name*.

    It is ``channel.call`` once more, straight, for what is called most: plain arguments by place,
    over a connection that is there. Whatever is not so goes to ``channel.call``.
    """
    if name in channel.metadata(timeout_s).oneway or (timeout_s is not None and timeout_s <= 0):
        return partial(_call, channel, name, timeout_s)

    session = channel.session

    def call(*args: Any, **kwargs: Any) -> Any:
        pool = session.pool
        if (
            not kwargs
            and pool is not None
            and not pool.farewells
            and (PLAIN.issuperset(map(type, args)) or _are_small(args))
        ):
            link = pool.take()
            if link is not None:
                sequence = link.sequence + 1 & 0xFFFF
                try:
                    data = write_plain((session.object_id, name, args, None, session.number))
                except (UnicodeEncodeError, OverflowError):
                    data = b""
                if link.takes_plain and 0 < len(data) <= PLAIN_BYTES:
                    link.sequence = sequence
                    deadline = None if timeout_s is None else time.monotonic() + timeout_s
                    try:
                        message = _CALL + _simple(sequence, len(data), 0) + SUFFIX + data
                        answer = link.ask(message, sequence, timeout_s, deadline)
                        if answer is None:
                            reply = link.receive(deadline)
                    except BaseException as error:
                        session.drop(link, error)
                        return channel.recover(error, name, args, timeout_s, deadline)
                    if answer is None:
                        return channel.finish_call(
                            link, reply, sequence, name, args, {}, timeout_s, deadline
                        )
                    try:
                        value = link.payload.loads_reply(answer, ())
                    except WireError:
                        link.close()
                        raise
                    except BaseException:
                        pool.give_back(link)
                        raise
                    pool.give_back(link)
                    return value
                pool.give_back(link)
        return channel.call(name, args, kwargs, timeout_s)

    call.__name__ = name
    call.__qualname__ = f"{channel.uri}.{name}"
    return call


def _are_small(args: tuple[Any, ...]) -> bool:
    """Tell whether arguments are plain, bytes among them that stay within the message."""
    return all(
        type(arg) in PLAIN or (type(arg) is bytes and len(arg) < OUT_OF_BAND_BYTES) for arg in args
    )


def _call(channel: Channel, name: str, timeout_s: float | None, *args: Any, **kwargs: Any) -> Any:
    return channel.call(name, args, kwargs, timeout_s)
