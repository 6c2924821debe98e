"""``masterslave trace``: what a farm's scheduler has heard, and if it decides the same again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from masterslave.printed import show_text
from masterslave.stories.retraced import events_in_words, read, retrace

__all__ = ["trace"]


@click.command()
@click.argument("journal", type=click.Path(path_type=Path))
@click.option(
    "--last", type=click.IntRange(1), default=20, metavar="N", help="Events; default: 20."
)
@click.option("--replay", is_flag=True, help="Feed them to a fresh scheduler, and compare.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def trace(journal: Path, last: int, replay: bool, as_json: bool, debug: bool) -> int:
    """Show what the scheduler of a farm has heard in its last run: the trace beside JOURNAL, which
    FarmSettings(trace=True) or REMOTEOBJ_FARM_TRACE=1 has it write.

    With --replay a fresh scheduler hears it all again. The exit code is 1 if that decides otherwise
    than the farm's did, or fails: a trace and this command are a report of a bug.
    """
    stretch = read(journal)
    if replay:
        found = retrace(stretch)
        if as_json:
            click.echo(json.dumps({"run": stretch.run, **dataclasses.asdict(found)}, indent=2))
        elif found.error:
            click.echo(show_text(f"at event {found.events - 1} the scheduler fails: {found.error}"))
        elif found.differs_at is not None:
            click.echo(f"at event {found.differs_at} the scheduler decides otherwise than then")
        else:
            click.echo(
                f"run {stretch.run}: {found.events} events, and the scheduler decides the same "
                f"({found.compared} decisions compared)"
            )
        return 0 if found.is_same else 1
    if as_json:
        about = {"run": stretch.run, "first": stretch.first, "events": len(stretch.events)}
        click.echo(json.dumps({**about, "about": dict(stretch.about)}, indent=2))
        return 0
    lost = f", the first {stretch.first} are not there any more" if stretch.first else ""
    click.echo(f"run {stretch.run}: {stretch.first + len(stretch.events)} events{lost}")
    for line in events_in_words(stretch, last):
        click.echo(show_text(line))
    return 0
