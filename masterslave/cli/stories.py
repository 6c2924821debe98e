"""What ``masterslave show`` and ``replay`` read of a journal, and how it is found."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import click
import msgspec
import rich
from rich.table import Table

from masterslave.cli.cells import cell, how_many
from masterslave.cli.finding import Look
from masterslave.errors import FarmError
from masterslave.journal.journal import Journal
from masterslave.journal.reading import JournalReader
from masterslave.stories.finding import failed_tasks, find_task, in_run
from masterslave.stories.story import story_of
from masterslave.stories.words import story_in_words

__all__ = ["is_file", "no_farm", "open_journal", "show_failed", "show_task"]

_MOST_SHOWN = 100


def is_file(where: str) -> bool:
    """Tell whether a journal's file is meant, and no label: those have neither dots nor slashes."""
    return any(each in where for each in "./\\")


def no_farm(label: str) -> FarmError:
    """Return the error that says that there is none."""
    is_here = Path(label).is_file()
    else_ = f"the file is './{label}'" if is_here else "a journal is named by its file's path"
    return FarmError(
        f"no farm {label!r} is running: 'masterslave list' shows those that are; {else_}"
    )


def open_journal(look: Look, where: str) -> JournalReader:
    """Open the journal that is meant by its path, or by the label of a farm on this machine.

    Raises:
        FarmError: There is no such farm, or it has no journal here.
        JournalUnusable: It cannot be read.
    """
    if is_file(where):
        return Journal.read_only(where)
    farms = look(where).farms
    if not farms:
        raise no_farm(where)
    here = [farm for farm in farms if farm.get("host") == socket.gethostname()]
    paths = sorted({farm["journal"] for farm in here if farm.get("journal")})
    if not paths:
        elsewhere = "" if here else f"; it runs on {farms[0].get('host')}: look there"
        raise FarmError(
            f"farm {where!r} has no journal on this machine{elsewhere}. A script keeps one with "
            "Farm(journal=...)"
        )
    if len(paths) > 1:
        raise FarmError(
            f"{len(paths)} farms have the label {where!r}: give the path of the journal that you "
            f"mean, {' or '.join(paths)}"
        )
    return Journal.read_only(paths[0])


def show_task(look: Look, where: str, task: str, *, as_json: bool) -> None:
    """Show the story of one task."""
    with open_journal(look, where) as reader:
        story = story_of(reader, find_task(reader, task))
    if as_json:
        facts: dict[str, Any] = msgspec.to_builtins(story)
        for told, step in zip(facts["steps"], story.steps, strict=True):
            if step.post_mortem is not None:  # whole, with what is not known
                told["post_mortem"] = msgspec.structs.asdict(step.post_mortem)
        facts["arguments"] = story.arguments.why_not or "kept"
        click.echo(json.dumps(facts, indent=2))
        return
    for line in story_in_words(story):
        click.echo(line)


def show_failed(where: str, *, as_json: bool) -> None:
    """Show which tasks of a journal have no value."""
    with Journal.read_only(where) as reader:
        failed = failed_tasks(reader)
        label = reader.label
    if as_json:
        facts = [
            {"number": one.number, "task": in_run(one.number), "function": one.function,
             "why": one.why}
            for one in failed
        ]  # fmt: skip
        click.echo(json.dumps({"journal": where, "label": label, "failed": facts}, indent=2))
        return
    if not failed:
        click.echo(f"farm {label!r}: no task has failed")
        return
    click.echo(
        f"farm {label!r}: {how_many(len(failed), 'failed task')}; "
        f"'masterslave show {where} TASK' tells more"
    )
    table = Table("task", "function", "how", box=None)
    for one in failed[-_MOST_SHOWN:]:
        cells = (in_run(one.number), one.function, one.why)
        table.add_row(*map(cell, cells))
    rich.print(table)
    if len(failed) > _MOST_SHOWN:
        click.echo(f"the last {_MOST_SHOWN} of them are shown")
