"""What a shell completes: labels of farms and names of slaves that are there now."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import click

from masterslave.naming import PREFIX, FarmRecord, read_record
from nameserver import Directory
from remoteobj import Proxy, RemoteObjError, Settings

__all__ = ["complete_labels", "complete_slaves"]

_PROMPT = Settings(connect_timeout_s=0.5, call_timeout_s=0.5)
"""Somebody waits with a finger on the key."""


def complete_labels(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[str]:
    """Return the labels of this user's farms on this machine."""
    return sorted({farm.label for farm in _farms() if farm.label.startswith(typed)})


def complete_slaves(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[str]:
    """Return the names of the slaves of these farms."""
    names: set[str] = set()
    for farm in _farms():
        with contextlib.suppress(RemoteObjError), Proxy(farm.uri, settings=_PROMPT) as door:
            names |= {slave["name"] for slave in door.status().get("slaves", ())}
    return sorted(name for name in names if name.startswith(typed))


def _farms() -> Iterator[FarmRecord]:
    with contextlib.suppress(RemoteObjError), Directory(lock_timeout_s=0.5) as directory:
        yield from filter(None, map(read_record, directory.list(PREFIX)))
