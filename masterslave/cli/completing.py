"""What a shell completes: labels of farms and names of slaves that are there now."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import click
from click.shell_completion import CompletionItem

from masterslave.naming import PREFIX, FarmRecord, read_record
from masterslave.slave.whose import LOCAL
from nameserver import Directory
from remoteobj import Proxy, RemoteObjError, Settings

__all__ = ["complete_names"]

_PROMPT = Settings(connect_timeout_s=0.5, call_timeout_s=0.5)
"""Somebody waits with a finger on the key."""


class _Known(click.types.StringParamType):
    """A text, of which a shell completes those that *known* returns."""

    def __init__(self, known: Callable[[], set[str]]) -> None:
        self._known = known

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        names = sorted(name for name in self._known() if name.startswith(incomplete))
        return [CompletionItem(name) for name in names]


def complete_names(command: click.Command) -> click.Command:
    """Have what a command calls LABEL or SLAVE completed from what is there."""
    for param in command.params:
        if param.name in ("label", "labels"):
            param.type = _Known(_labels)
        elif param.name == "allow":
            param.type = _Known(lambda: {LOCAL})
        elif param.name == "slave":
            param.type = _Known(_slaves)
    return command


def _labels() -> set[str]:
    """Return the labels of this user's farms on this machine."""
    return {farm.label for farm in _farms()}


def _slaves() -> set[str]:
    """Return the names of the slaves of these farms."""
    names: set[str] = set()
    for farm in _farms():
        with contextlib.suppress(RemoteObjError), Proxy(farm.uri, settings=_PROMPT) as door:
            names |= {slave["name"] for slave in door.status().get("slaves", ())}
    return names


def _farms() -> Iterator[FarmRecord]:
    with contextlib.suppress(RemoteObjError), Directory(lock_timeout_s=0.5) as directory:
        yield from filter(None, map(read_record, directory.list(PREFIX)))
