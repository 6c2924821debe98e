"""Handlers whose modules are found here."""

from __future__ import annotations

from masterslave import Slave

__all__ = ["Others", "Sums"]


class Sums(Slave):
    """Adds."""

    def do_add(self, one: int, other: int) -> int:
        """Add two numbers."""
        return one + other


class Others(Slave):
    """Does something else."""

    def do_nothing(self) -> None:
        """Do nothing."""
