"""Times as people write them: ``90s``, ``15min``, ``1h``, ``7d``."""

from __future__ import annotations

import math
import re

import click

__all__ = ["Duration", "seconds_of", "words_of"]

_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_WORDS = ((86_400, "day"), (3600, "hour"), (60, "minute"))


def seconds_of(text: str) -> float:
    """Return how many seconds a text means.

    Raises:
        ValueError: None; the message says how they are written.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(s|m|min|h|d|)", text.strip().lower())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"{text!r} is no length of time: write it as 90s, 15min, 1h or 7d")
    return seconds


def words_of(seconds: float) -> str:
    """Return a length of time for people, in the largest unit that it is two of, or one exactly."""
    for size, word in _WORDS:
        if seconds >= 2 * size or seconds == size:
            number = round(seconds / size)
            return f"{number} {word}{'s' * (number != 1)}"
    return f"{seconds:.0f} s"


class Duration(click.ParamType[float]):
    """A length of time, in seconds."""

    name = "time"

    def convert(self, value: object, param: object, ctx: object) -> float:
        """Read it."""
        try:
            return value if isinstance(value, float) else seconds_of(str(value))
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
