"""``nameserver watch``: what happens to names, as it happens."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import click

from nameserver.changes import Event, Revision
from nameserver.cli.options import Reach, examples, json_option, prefix_option, reaching
from nameserver.cli.printing import as_dict, until_nobody_reads
from nameserver.client import NameServerClient
from nameserver.record import Record
from nameserver.watching import Watch
from remoteobj import ConnectionLost, DeadlinePassed

__all__ = ["watch"]

_COLOURS = {"registered": "green", "changed": "yellow", "removed": "red", "expired": "red"}


@click.command(
    epilog=examples(
        "nameserver watch --prefix lab.",
        "nameserver watch --json | jq -r 'select(.kind == \"expired\") | .name'",
    )
)
@prefix_option
@json_option
@reaching
def watch(prefix: str, as_json: bool, reach: Reach) -> None:
    """Print what happens to names as it happens, until Ctrl-C.

    It begins with the names there are, each as "registered". Each line has the time, what happened
    (registered, changed, removed, expired), the name and its URI. When the server goes away that is
    said, and so is that it is back; what has changed meanwhile follows. Ctrl-C gives exit code 130.

    With --json: one object a line, with the keys of 'nameserver list --json' and time (Unix time
    here) and kind; where kind is "away" or "back" the keys are time, kind, where and problem.
    """
    with reach.connect() as server, until_nobody_reads(), _no_log():
        if sys.stderr.isatty():
            click.echo(f"watching names at {server.address}; Ctrl-C ends it", err=True)
        tell = _tell_json if as_json else _tell_words
        source = _Source(server, lambda problem: tell(server.address, problem))
        with Watch(source, prefix) as events:
            for event in events:
                _print(server.address, event, as_json)


def _print(where: str, event: Event, as_json: bool) -> None:
    now = time.time()
    if as_json:
        shape = {"time": round(now, 3), "kind": event.kind, **as_dict(where, event.record, now)}
        click.echo(json.dumps(shape))
    else:
        kind = click.style(f"{event.kind:<10}", _COLOURS[event.kind])
        click.echo(f"{_clock()} {kind} {event.name} {event.record.uri}")
    sys.stdout.flush()


def _tell_json(where: str, problem: str) -> None:
    kind = "away" if problem else "back"
    told = {"time": round(time.time(), 3), "kind": kind, "where": where, "problem": problem}
    click.echo(json.dumps(told))
    sys.stdout.flush()


def _tell_words(where: str, problem: str) -> None:
    words = f"is away: {problem}" if problem else "is back"
    click.echo(f"{_clock()} the name server at {where} {words}", err=True)


def _clock() -> str:
    return time.strftime("%H:%M:%S")


@contextlib.contextmanager
def _no_log() -> Iterator[None]:
    """Say nothing twice: a watch logs that its server is away, for programs."""
    handler, log = logging.NullHandler(), logging.getLogger("nameserver.watching")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


class _Source:
    """A client as a watch sees it, that tells when the server goes away and when it is back.

    Args:
        client: Asks the server.
        tell: Called with why it is away, once, and with nothing when it is back.
    """

    def __init__(self, client: NameServerClient, tell: Callable[[str], None]) -> None:
        self._client = client
        self._tell = tell
        self._state: Literal["new", "here", "away"] = "new"

    @property
    def address(self) -> str:
        return self._client.address

    def changes(
        self, prefix: str, since: Revision | None, wait_s: float, watcher: str
    ) -> dict[str, Any] | None:
        if self._state == "away":  # that it is back is told at once, and not with the next change
            wait_s = 0.0
        with self._noting():
            told = self._client.changes(prefix, since, wait_s, watcher)
            if told is not None:  # else the list is the answer
                self._note_answer()
            return told

    def list(self, prefix: str = "") -> tuple[Record, ...]:
        with self._noting():
            records = self._client.list(prefix)
            self._note_answer()
            return records

    def unwatch(self, watcher: str) -> None:
        self._client.unwatch(watcher)

    def close(self) -> None:
        self._client.close()

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except (ConnectionLost, DeadlinePassed) as error:
            if self._state == "here":
                self._state = "away"
                self._tell(str(error).splitlines()[0])
            raise

    def _note_answer(self) -> None:
        if self._state == "away":
            self._tell("")
        self._state = "here"
