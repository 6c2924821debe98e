"""How names look: a table on a terminal, columns between tabs in a pipe, and JSON."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click

from nameserver.record import Record

__all__ = ["HERE", "age_of", "as_dict", "lease_of", "print_names", "until_nobody_reads"]

HERE = "this machine"
"""Where names are that no name server has."""

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))

Found = tuple[str, Record]
"""Where a record was found, and it."""


def age_of(record: Record, now: float) -> str:
    """Say for how long a name is there; nothing where that is not known."""
    if record.since is None:
        return ""
    seconds = max(now - record.since, 0.0)  # the name server's clock may be ahead
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "0 s"


def lease_of(record: Record) -> str:
    """Say what keeps a name."""
    if record.pid is not None:
        return f"process {record.pid}"
    return "permanent" if record.lease_s is None else f"{record.lease_s:g} s"


def as_dict(where: str, record: Record, now: float) -> dict[str, Any]:
    """Return what ``--json`` prints of a name. Keys may be added; none goes or changes."""
    return {
        "name": record.name,
        "where": where,
        "uri": str(record.uri),
        "metadata": sorted(record.metadata),
        "pid": record.pid,
        "lease_s": record.lease_s,
        "since": record.since,
        "age_s": None if record.since is None else round(max(now - record.since, 0.0), 3),
        "hosts": list(record.hosts),
        "problem": record.problem,
        "node": record.node,
        "role": record.role,
    }


def print_names(found: Sequence[Found], *, as_json: bool) -> None:
    """Print names as whoever reads them likes it."""
    now = time.time()
    if as_json:
        click.echo(json.dumps([as_dict(where, record, now) for where, record in found], indent=2))
    elif sys.stdout.isatty():
        _print_table(found, now)
    else:
        for where, record in found:
            click.echo("\t".join(_cells(where, record, now)))


@contextlib.contextmanager
def until_nobody_reads() -> Iterator[None]:
    """End quietly when the reader of a pipe has seen enough, as ``head`` does."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # Python would complain at its end, when it flushes once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _cells(where: str, record: Record, now: float) -> tuple[str, ...]:
    return (
        record.name,
        where,
        str(record.uri),
        ", ".join(sorted(record.metadata)),
        age_of(record, now),
        lease_of(record),
        record.problem,
    )


def _print_table(found: Sequence[Found], now: float) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("name", "where", "uri", "metadata", "age", "lease"):
        table.add_column(title, overflow="fold", no_wrap=title == "age")
    problems = []
    for where, record in found:
        *cells, problem = _cells(where, record, now)
        style = "red" if problem else ""
        if problem:
            cells[0] = f"! {cells[0]}"
            problems.append(f"! {record.name} is not reached: {problem}")
        table.add_row(*(Text(cell, style) for cell in cells))  # a str would be rich's markup
    console = Console()
    if found:
        console.print(table)
    else:
        console.print("no names")
    for line in problems:
        console.print(Text(line, "red"))
