"""By whose leave copies of a journal follow it: what whoever has the lead of the farm is asked."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Lead"]


class Lead(Protocol):
    """Says to the name server who acts for the farm, and who may after that."""

    @property
    def address(self) -> str:
        """Where the name server is, where another one must not be asked; else empty."""
        ...

    @property
    def trouble(self) -> str:
        """What is wrong with it now, in words; empty: nothing that is known."""
        ...

    def take(self) -> int:
        """Have the lead; returns the epoch. It is kept from then on.

        Raises:
            RemoteObjError: It cannot be had; the message says why, and what to do.
        """
        ...

    def name(self, copy_id: str, node: str) -> None:
        """Have this copy, on this machine, known as the one that may take over; "": none.

        Raises:
            RemoteObjError: The name server has not said yes.
        """
        ...
