"""``masterslave jobs``, ``results`` and ``forget``: what scripts have left with farms."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import click
import rich
from rich.table import Table

from masterslave.cli.cells import cell, how_many
from masterslave.cli.finding import ANSWER, Look, Seen, with_places
from masterslave.cli.values import in_words
from masterslave.errors import FarmError
from masterslave.naming import check_label
from masterslave.printed import show_text
from masterslave.protocol.attaching import Answers, reception_at
from masterslave.protocol.encoding import decode
from remoteobj import Proxy

__all__ = ["forget", "jobs", "results"]

_AT_A_TIME = 10_000

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@click.argument("label", default="")
@_json
@with_places
def jobs(look: Look, label: str, as_json: bool) -> None:
    """List the tickets of farms that run as a service ('masterslave master'), of LABEL or all: one
    for each script that has attached.

    A ticket whose script is detached is worked on all the same.
    """
    seen = look(check_label(label) if label else None)
    found = [{"label": farm["label"], **job} for farm in seen.farms for job in farm.get("jobs", ())]
    for farm in seen.farms:
        if "unreachable" in farm:
            why = f"farm {farm['label']!r} does not answer: {farm['unreachable']}"
            click.echo(f"masterslave: {why}", err=True)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo(_none_in_words(seen, label))
        return
    table = Table(box=None)
    for name in ("ticket", "script", "host", "since", "state"):
        table.add_column(
            name, no_wrap=name in ("ticket", "state"), overflow="fold", min_width=len(name)
        )
    for name in ("tasks", "done", "failed", "waiting"):
        table.add_column(name, justify="right", no_wrap=True)
    for job in found:
        since = time.strftime("%m-%d %H:%M", time.localtime(job["since"]))
        names = (column.header for column in table.columns)
        table.add_row(*(cell({**job, "since": since}[str(name)]) for name in names))
    rich.print(table)


@click.command()
@click.argument("ticket")
@click.argument("label", default="")
@_json
@with_places
def results(look: Look, ticket: str, label: str, as_json: bool) -> None:
    """Show what became of the tasks of TICKET: those that are answered, in their order.

    Plain data is shown as it is; what only pickle can read is named, and not looked into.
    """
    seen = look(check_label(label) if label else None)
    with _reception_of(seen, ticket) as reception:
        found = list(_results(reception, ticket))
        tasks = sum(count for _, count, _ in reception.functions(ticket))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for one in found:
        line = f"{one['serial']} {one['function']}(): {one['state']} {one['value']}"
        click.echo(show_text(line.rstrip()))
    if len(found) < tasks:
        open_tasks = how_many(tasks - len(found), "task")
        click.echo(f"{open_tasks} of {tasks} without an answer so far", err=True)


@click.command()
@click.argument("ticket")
@click.argument("label", default="")
@with_places
def forget(look: Look, ticket: str, label: str) -> None:
    """Drop the tasks of TICKET, and its results: the farm keeps nothing of it."""
    seen = look(check_label(label) if label else None)
    with _reception_of(seen, ticket) as reception:
        reception.forget(ticket)
    click.echo(f"ticket {ticket} is forgotten")


def _none_in_words(seen: Seen, label: str) -> str:
    services = [farm for farm in seen.farms if "jobs" in farm]
    if services:
        return "no farm that is seen has a ticket; Farm.attach(LABEL) makes one in a script"
    which = f"farm {label!r}" if label else "farm"
    start = f"masterslave master {label or 'LABEL'} --journal FILE"
    return f"no {which} that is seen runs as a service; {start!r} starts one"


def _reception_of(seen: Seen, ticket: str) -> Proxy:
    for record, farm in zip(seen.records, seen.farms, strict=True):
        if any(job["ticket"] == ticket for job in farm.get("jobs", ())):
            return Proxy(reception_at(record.uri), identity=seen.identity, settings=ANSWER)
    silent = [farm["label"] for farm in seen.farms if "unreachable" in farm]
    also = f"; {', '.join(silent)} does not answer" if silent else ""
    lists = "'masterslave jobs' lists those that there are"
    raise FarmError(f"no farm that is seen has ticket {ticket!r}: {lists}{also}")


def _results(reception: Proxy, ticket: str) -> Iterator[dict[str, Any]]:
    rows = reception.functions(ticket)
    first, end = 0, sum(count for _, count, _ in rows)
    names = {at: name for start, count, name in rows for at in range(start, start + count)}
    while first < end:
        answers = decode(reception.results(ticket, first, _AT_A_TIME), Answers).answers
        for answer in answers:
            for serial, (state, value) in enumerate(in_words(answer), answer.first):
                slave = {"slave": answer.slave} if answer.slave else {}
                name = names.get(serial, "")
                yield {"serial": serial, "function": name, "state": state, "value": value, **slave}
        last = answers[-1] if answers else None
        first = first + _AT_A_TIME if last is None else last.first + last.count
