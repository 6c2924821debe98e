"""When a certificate is to be renewed: long before it expires, so that a week away does no harm."""

from __future__ import annotations

__all__ = ["due", "due_at"]


def due_at(starts: float, expires: float) -> float:
    """Return when two thirds of a certificate's lifetime have passed; all in Unix seconds."""
    return starts + (expires - starts) * 2 / 3


def due(starts: float, expires: float, now: float) -> bool:
    """Tell whether a certificate is to be renewed now; all in Unix seconds."""
    return now >= due_at(starts, expires)
