"""What options of commands take beside what click knows."""

from __future__ import annotations

import ipaddress
import math
from typing import Any

import click

from masterslave.slave.capacity import bytes_of

__all__ = ["Printable", "Seconds", "Size", "machine_names"]


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


def machine_names(_ctx: object, _param: object, given: tuple[str, ...]) -> tuple[str, ...]:
    """Check names of machines; what can be none is refused, for it would allow nobody."""
    return tuple(map(_machine_name, given))


def _machine_name(given: str) -> str:
    name = given.strip()
    if not name:
        raise click.UsageError("--allow takes the name of a machine, its node id, or 'local'")
    if "," in name:
        parts = " ".join(f"--allow {each.strip()}" for each in name.split(",") if each.strip())
        raise click.UsageError(f"--allow takes one name, and may be given again: {parts}")
    if _is_address(name):
        raise click.UsageError(
            f"--allow takes the name of a machine or its node id, and {name} is an address, "
            "which proves nothing: 'nameserver members' lists names and ids"
        )
    return name


def _is_address(text: str) -> bool:
    for host in (text, text.rpartition(":")[0]):
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            continue
        return True
    return False


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
