"""``masterslave status`` and ``invalidate``: what a journal holds, and what is not to count."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
import rich
from rich.table import Table
from rich.text import Text

from masterslave.journal.facts import Invalidated
from masterslave.journal.fold import Folded
from masterslave.journal.journal import Journal
from masterslave.protocol.outcomes import RAISED

__all__ = ["invalidate", "status"]

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("journal", type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def status(journal: Path, as_json: bool, debug: bool) -> None:
    """Say what JOURNAL holds, the file that a script has given its farm: for each function, how
    many results there are, how many tasks have raised, and how many are out with slaves.

    Also while the script runs. Results of tasks that have raised are not used again.
    """
    with Journal.read_only(journal) as reader:
        facts = _facts_of(reader.folded)
        facts = {"journal": str(reader.path), "label": reader.label, **facts}
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    began = facts["runs"][-1]["began"] if facts["runs"] else None
    click.echo(
        f"farm {facts['label']!r}, {len(facts['runs'])} runs, the last since {_moment(began)}; "
        f"{journal.stat().st_size:,} bytes"
    )
    table = Table("function", "results", "raised", "out", box=None)
    for function in facts["functions"]:
        cells = (function["name"], *(function[key] for key in ("results", "raised", "out")))
        table.add_row(*(Text(str(cell)) for cell in cells))
    rich.print(table)


@click.command()
@click.argument("journal", type=_FILE)
@click.argument("functions", nargs=-1, metavar="FUNCTION...")
@click.option("--all", "every", is_flag=True, help="The results of all functions.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def invalidate(journal: Path, functions: tuple[str, ...], every: bool, debug: bool) -> None:
    """Have the tasks of each FUNCTION run again when the script is started next: what JOURNAL holds
    of them counts no more. For when something has changed that a task reads and no code says, such
    as a file.
    """
    if every == bool(functions):
        raise click.UsageError("say which functions, or --all; 'masterslave status' lists them")
    with Journal.read_only(journal) as reader:
        label, known = reader.label, {one.name for one in reader.folded.functions.values()}
    unknown = sorted({*functions} - known)
    if unknown:
        raise click.UsageError(
            f"{journal} has no function {unknown[0]!r}; it has {', '.join(sorted(known)) or 'none'}"
        )
    with Journal.open(journal, label) as opened:
        folded = opened.folded
        keys = [
            key
            for key, finish in folded.finished.items()
            if every or _name_of(folded, finish.number) in functions
        ]
        keys += [
            out.key for number, out in folded.out.items()
            if every or _name_of(folded, number) in functions
        ]  # fmt: skip
        if keys:
            opened.record(Invalidated(b"".join(keys)))
    click.echo(f"{len(keys)} tasks run again when the script is started next")


def _facts_of(folded: Folded) -> dict[str, Any]:
    results: Counter[str] = Counter()
    raised: Counter[str] = Counter()
    for finish in folded.finished.values():
        (raised if finish.kind == RAISED else results)[_name_of(folded, finish.number)] += 1
    out = Counter(_name_of(folded, number) for number in folded.out)
    names = sorted({one.name for one in folded.functions.values()})
    return {
        "runs": [
            {"run": began.run, "began": began.at, "host": began.host, "pid": began.pid}
            for began in folded.runs
        ],
        "functions": [
            {"name": name, "results": results[name], "raised": raised[name], "out": out[name]}
            for name in names
        ],
        "lost": folded.counts.lost,
    }


def _name_of(folded: Folded, number: int) -> str:
    found = folded.numbers.find(number)
    known = folded.functions.get(found[0].function) if found else None
    return known.name if known else ""


def _moment(at: float | None) -> str:
    return "never" if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
