"""The items of an iterator that a remote method has returned, fetched one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from remoteobj.client.channel import Channel

__all__ = ["RemoteItems"]


class RemoteItems(Iterator[Any]):
    """Each item is a call of its own; ``close()`` lets the daemon forget the rest.

    Blocks: each item, on the network.  Threads: one at a time.
    """

    def __init__(self, channel: Channel, stream_id: str, timeout_s: float | None) -> None:
        self._channel: Channel | None = channel
        self._stream_id = stream_id
        self._timeout_s = timeout_s

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._channel is None:
            raise StopIteration
        try:
            return self._channel.call_daemon(
                "get_next_stream_item", (self._stream_id,), self._timeout_s
            )
        except (StopIteration, GeneratorExit):
            self._channel = None
            raise StopIteration from None

    def close(self) -> None:
        """Fetch no more: the daemon closes the iterator."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.call_daemon("close_stream", (self._stream_id,), self._timeout_s)

    def __del__(self) -> None:
        channel = getattr(self, "_channel", None)
        if channel is not None:
            channel.later("close_stream", self._stream_id)

    def __repr__(self) -> str:
        return (
            f"<RemoteItems of {self._channel.uri if self._channel else 'an iterator that ended'}>"
        )
