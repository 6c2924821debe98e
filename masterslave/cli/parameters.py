"""What options of commands take beside what click knows."""

from __future__ import annotations

import math
from typing import Any

import click

from masterslave.slave.capacity import bytes_of

__all__ = ["Printable", "Seconds", "Size"]


class Size(click.ParamType[int]):
    """A number of bytes, as people write it."""

    name = "size"

    def convert(self, value: object, param: object, ctx: object) -> int:
        """Read it."""
        try:
            return value if isinstance(value, int) else bytes_of(str(value))
        except ValueError as error:
            raise click.BadParameter(str(error)) from None


class Printable(click.types.StringParamType):
    """A text that fits into a line."""

    def convert(self, value: object, param: object, ctx: object) -> str:
        """Check it."""
        if not str(value).isprintable():
            raise click.BadParameter(f"{value!r} has characters that cannot be shown in a line")
        return str(value)


class Seconds(click.FloatRange):
    """A number of seconds above 0; nothing is ever longer than nan."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it."""
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            raise click.BadParameter("nan is no number of seconds")
        return seconds
