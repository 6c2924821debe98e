"""A code in letters that are read from across the room (pure)."""

from __future__ import annotations

__all__ = ["large"]

_ROWS = (
    "█▀█ ▄█  ▀▀█ ▀▀█ █ █ █▀▀ █▀▀ ▀▀█ █▀█ █▀█    ",
    "█ █  █  █▀▀  ▀█ ▀▀█ ▀▀█ █▀█   █ █▀█ ▀▀█ ▀▀ ",
    "▀▀▀ ▀▀▀ ▀▀▀ ▀▀▀   ▀ ▀▀▀ ▀▀▀   ▀ ▀▀▀ ▀▀▀    ",
)
_PLACES = "0123456789-"


def large(text: str) -> str:
    """Return digits and dashes, three lines high."""
    places = [4 * _PLACES.index(each) for each in text]
    return "\n".join(" ".join(row[at : at + 4] for at in places).rstrip() for row in _ROWS)
