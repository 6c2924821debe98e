"""What is published, and what a client of any system can do."""

from __future__ import annotations

from typing import Any

__all__ = ["Calling", "Client", "Echo"]


class Client:
    """One client, with a connection of its own."""

    def echo(self, value: Any) -> Any:
        raise NotImplementedError

    def echo_bytes(self, data: bytes) -> Any:
        return self.echo(data)

    def echo_array(self, array: Any) -> Any:
        """Carry an array by hand; systems that know arrays do better."""
        import numpy as np

        return np.frombuffer(self.echo_bytes(array.tobytes()), array.dtype)

    def batch(self, values: list[int]) -> list[int]:
        raise NotImplementedError("has no batches that carry many calls in one message")

    def later(self, delay_s: float) -> float:
        raise NotImplementedError("has no deferred replies")

    def close(self) -> None:
        """Let go of the connection."""


class Echo:
    """What most of them publish."""

    def echo(self, value: Any) -> Any:
        return value


class Calling(Client):
    """Calls the method ``echo`` of something that looks like a local object."""

    def __init__(self, target: Any) -> None:
        self.target = target
        self.echo = target.echo
