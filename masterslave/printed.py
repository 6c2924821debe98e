"""How people are shown what tasks print."""

from __future__ import annotations

import logging
import re

__all__ = ["show_line", "show_text"]

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_CONTROLS = re.compile(r"(?!\x1b\[[0-9;]*m)[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def show_text(text: str, before: str = "") -> str:
    """Return a text of somebody else's, each line after *before*; none of it moves a terminal's
    cursor, or is anything else than seen.
    """
    text = "".join(
        each if each.isprintable() or each in "\n\t" else _escaped(each)
        for each in text.replace("\r\n", "\n")
    )
    return "\n".join(before + line for line in text.split("\n"))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def show_line(where: str, function: str, task: int, text: str, level: int, logger: str) -> str:
    """Return a line, or those of a log record, marked; nothing in it moves a terminal's cursor.

    Args:
        where: The slave, or the farm.
        level: Of a log record, or 0.
    """
    head = f"[{where} {function}#{task}] "
    if level:
        head += f"{logging.getLevelName(level)} {logger}: "
    text = _CONTROLS.sub("", text)
    if _COLOURS.search(text):
        text += "\x1b[0m"
    return "\n".join(head + line for line in text.split("\n"))
