"""What is raised when a promise was not kept."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

__all__ = ["BrokenPromise", "none"]


class BrokenPromise(AssertionError):
    """The scheduler did what it must not."""


def none(found: Iterable[object]) -> None:
    """See that nothing was found that breaks a promise."""
    if found and (culprits := list(islice(found, 5))):
        raise BrokenPromise(f"not kept for {culprits}")
