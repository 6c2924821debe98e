"""A message that has begun: memory that is being filled, part after part."""

from __future__ import annotations

from typing import Any

from remoteobj.memory import NewBytes
from remoteobj.wire.message import Message

__all__ = ["OpenMessage"]


class OpenMessage:
    """What a Decoder fills.

    Args:
        head: What is known of the message.
        annotations: Their length where the one part is annotations and payload together, and None
            where the parts are the buffers.
        parts: Memory for what is to come.
    """

    __slots__ = ("_part", "_view", "annotations", "head", "parts")

    def __init__(self, head: Message, annotations: int | None, parts: list[Any]) -> None:
        self.head = head
        self.annotations = annotations
        self.parts = parts
        self._part = 0
        self._view: memoryview | None = None
        self._open_part()

    @property
    def is_whole(self) -> bool:
        """Whether everything has come."""
        return self._part == len(self.parts)

    def target(self) -> memoryview | None:
        """Return where the next bytes belong; None when everything has come."""
        return self._view

    def filled(self, count: int) -> None:
        """Take note that *count* bytes were put there."""
        assert self._view is not None
        rest = self._view[count:]
        self._view.release()
        self._view = rest
        if not rest:
            self._part += 1
            self._open_part()

    def buffers(self) -> list[Any]:
        """Return the parts as what they were with the sender."""
        return [each.done() if type(each) is NewBytes else each for each in self.parts]

    def _open_part(self) -> None:
        self._view = None
        while self._part < len(self.parts):
            part = self.parts[self._part]
            view = part.view() if type(part) is NewBytes else memoryview(part)
            if len(view):
                self._view = view
                return
            view.release()
            self._part += 1
