"""When a script is told what its tasks wait for, of what its farm says again and again."""

from __future__ import annotations

__all__ = ["Waiting"]

_AFTER_S = 3.0


class Waiting:
    """Remembers since when tasks wait, and whether it was said."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._is_said = False

    def is_to_be_said(self, waits: str, now: float) -> bool:
        """Tell whether it is time to say it: once, when tasks have waited for some seconds.

        Args:
            waits: What the farm says now; empty: nothing waits, or something has come.
        """
        if not waits:
            self._since, self._is_said = None, False
            return False
        if self._since is None:
            self._since = now
        if self._is_said or now - self._since < _AFTER_S:
            return False
        self._is_said = True
        return True
