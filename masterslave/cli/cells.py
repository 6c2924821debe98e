"""Texts of others in tables and lines: they are seen, and do nothing to the terminal."""

from __future__ import annotations

from rich.text import Text

from masterslave.printed import show_text

__all__ = ["cell", "how_many"]


def cell(value: object) -> Text:
    """Return a value as text that is neither markup nor what moves a terminal's cursor: scripts,
    slaves and functions have the names that somebody gave them.
    """
    return Text(show_text(str(value)))


def how_many(count: int, one: str) -> str:
    """Return "1 task", "2 tasks"."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"
