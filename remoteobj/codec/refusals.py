"""How a refusal finds the way to the place it is about, while the walk unwinds."""

from __future__ import annotations


class Refused(Exception):
    """Something cannot be sent; each container on the way out adds its part to ``path``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []

    def told(self, where: str) -> str:
        """Write it as one sentence: ``value: items[3].handle: a socket cannot be sent``."""
        place = "".join(reversed(self.path)).lstrip(". ")
        if len(place) > 200:
            place = f"{place[:100]} ... {place[-100:]}"
        return f"{where}: {place}: {self.reason}" if place else f"{where}: {self.reason}"


def a(kind: type) -> str:
    """Name a class as one would: "a socket", "an Engine", "a SSLSocket"."""
    return f"{'an' if kind.__name__[:1] in 'aeiouAEIOU' else 'a'} {kind.__name__}"
