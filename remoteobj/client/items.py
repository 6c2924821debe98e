"""The items of an iterator that a remote method has returned, fetched one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

from remoteobj.errors import ConnectionLost, DeadlinePassed, RemoteError, WireError

if TYPE_CHECKING:
    from remoteobj.client.channel import Channel

__all__ = ["RemoteItems"]

_NEXT, _CLOSE = "get_next_stream_item", "close_stream"
_TERMINATED = "item stream terminated"  # Pyro5's words, and our daemon's: it has no such stream
_AGAIN = "call the method again for a new iterator"


class RemoteItems(Iterator[Any]):
    """Each item is a call of its own; ``close()`` lets the daemon forget the rest.

    A fetch that ends without an answer (a deadline, Ctrl-C, a lost connection) may have used up an
    item that nobody will ever see, so the items end there, and every later ``next()`` says why.

    Raises:
        WireError: The rest of the items is lost; the message says how. Call the method again.

    Blocks: each item, on the network.  Threads: one at a time.
    """

    def __init__(self, channel: Channel, stream_id: str, timeout_s: float | None) -> None:
        self._channel: Channel | None = channel
        self._stream_id = stream_id
        self._timeout_s = timeout_s
        self._why = ""  # there are no more, if that is not because they have ended

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        channel = self._channel
        if channel is None:
            if self._why:
                raise WireError(self._why)
            raise StopIteration
        try:
            answer = channel.ask_daemon(_NEXT, (self._stream_id,), self._timeout_s)
        except BaseException as error:
            self._lose_items(channel, error)
            raise
        try:
            return channel.finish(*answer, _NEXT, self._timeout_s)
        except (StopIteration, GeneratorExit):
            self._channel = None
            raise StopIteration from None
        except (WireError, RemoteError) as error:
            if _TERMINATED not in str(error):
                raise
            if self._channel is None and not self._why:  # closed, or read to its end, meanwhile
                raise StopIteration from None
            raise WireError(
                f"{_TERMINATED}: {channel.uri} has it no longer. An earlier item has failed, "
                "another thread has read it to its end, its proxy was released, or every "
                f"connection to its daemon was lost: {_AGAIN}, and read it in one thread"
            ) from error
        except Exception:
            raise
        except BaseException as error:  # Ctrl-C while an item was being read
            self._lose_items(channel, error)
            raise

    def _lose_items(self, channel: Channel, error: BaseException) -> None:
        """End here, unless the item is certainly still with the daemon."""
        if isinstance(error, ConnectionLost | DeadlinePassed) and error.executed == "no":
            return
        more = ", and give each item more time" if isinstance(error, DeadlinePassed) else ""
        self._why = (
            f"{_TERMINATED}: an item of {channel.uri} was lost, since the wait for it ended with "
            f"{type(error).__name__}: {_AGAIN}{more}"
        )
        self._channel = None
        channel.session.later(_CLOSE, self._stream_id)

    def close(self) -> None:
        """Fetch no more: the daemon closes the iterator."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.call_daemon(_CLOSE, (self._stream_id,), self._timeout_s)

    def __del__(self) -> None:
        channel = getattr(self, "_channel", None)
        if channel is not None:
            channel.session.later(_CLOSE, self._stream_id)

    def __repr__(self) -> str:
        return (
            f"<RemoteItems of {self._channel.uri if self._channel else 'an iterator that ended'}>"
        )
