"""``masterslave status`` and ``invalidate``: what a journal holds, and what is not to count."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path

import click
import msgspec
import rich
from rich.table import Table

from masterslave.cli.cells import cell, how_many
from masterslave.cli.tallies import facts_of, name_of
from masterslave.errors import JournalUnusable
from masterslave.farm.caching.places import folder_of, results_dir, volumes_in
from masterslave.farm.caching.volumes import size_of
from masterslave.journal.facts import Invalidated
from masterslave.journal.fold import Folded
from masterslave.journal.journal import Journal
from masterslave.journal.reading import JournalReader
from masterslave.printed import show_text
from masterslave.protocol.outcomes import MIXED, Raised, items_in
from masterslave.stories.finding import failed_tasks, in_run
from remoteobj.unreadable import UNREADABLE

__all__ = ["invalidate", "status"]

_MOST_SHOWN = 20
_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("journal", type=_FILE, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def status(journal: Path | None, as_json: bool, debug: bool) -> None:
    """Say what JOURNAL holds, the file that a script has given its farm: for each function, how
    many results there are, how many tasks have raised, and how many are out with slaves while a
    farm has the file, or were out when an earlier run ended and have no result yet.

    JOURNAL may also be a script: then it is about what cache=True keeps of its results. Without
    JOURNAL, say of which scripts there are such results.

    Also while the script runs. Results of tasks that have raised are not used again.
    """
    if journal is None:
        _show_caches(as_json)
        return
    files = _files_of(journal)
    with contextlib.ExitStack() as opened:
        readers = [opened.enter_context(Journal.read_only(path)) for path in files]
        facts = facts_of(readers)
        failed = [one for reader in readers for one in _failed_in(reader)]
        is_service = any(reader.folded.tickets for reader in readers)
        facts = {
            "journal": str(readers[0].path),
            "label": readers[0].label,
            **facts,
            "failed": failed,
        }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    began = facts["runs"][-1]["began"] if facts["runs"] else None
    of_whom = f"farm {facts['label']!r}" if files == [journal] else f"cache of {facts['label']}"
    size = sum(path.stat().st_size for path in files)
    click.echo(
        f"{show_text(of_whom)}, {how_many(len(facts['runs']), 'run')}, "
        f"the last since {_moment(began)}; {size:,} bytes"
    )
    table = Table("function", "results", "raised", "out", "was out", box=None)
    for function in facts["functions"]:
        cells = (
            function["name"],
            *(function[key] for key in ("results", "raised", "out", "was_out")),
        )
        table.add_row(*map(cell, cells))
    rich.print(table)
    for line in _failed_in_words(facts["failed"], journal, runs_again=not is_service):
        click.echo(line)


@click.command()
@click.argument("journal", type=_FILE)
@click.argument("functions", nargs=-1, metavar="FUNCTION...")
@click.option("--all", "every", is_flag=True, help="The results of all functions.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def invalidate(journal: Path, functions: tuple[str, ...], every: bool, debug: bool) -> None:
    """Have the tasks of each FUNCTION run again when the script is started next: what JOURNAL holds
    of them counts no more. For when something has changed that a task reads and no code says, such
    as a file.

    JOURNAL may also be a script: then it is about what cache=True keeps of its results.
    """
    if every == bool(functions):
        raise click.UsageError(
            f"say which functions, or --all; 'masterslave status {journal}' lists them"
        )
    files, labels, known = _files_of(journal), {}, set[str]()
    for path in files:
        with Journal.read_only(path) as reader:
            labels[path] = reader.label
            if reader.folded.tickets:
                raise click.UsageError(
                    f"{path} is of a farm that runs as a service: what a script has left with it "
                    "is dropped by 'masterslave forget TICKET', and submitted anew"
                )
            known |= {one.name for one in reader.folded.functions.values()}
    unknown = sorted({*functions} - known)
    if unknown:
        raise click.UsageError(
            f"{journal} has no function {unknown[0]!r}; it has {', '.join(sorted(known)) or 'none'}"
        )
    found: set[bytes] = set()
    with contextlib.ExitStack() as opened:  # all of them, or none
        journals = [opened.enter_context(Journal.open(path, labels[path])) for path in files]
        for each in journals:
            keys = _keys_of(each.folded, None if every else functions)
            found.update(keys)
            if keys:
                each.record(Invalidated(b"".join(keys)))
    click.echo(f"{_run_again(len(found))} again when the script is started next")


def _keys_of(folded: Folded, functions: Container[str] | None) -> list[bytes]:
    """Return what is known by a key, of these functions or of all."""
    found = [(key, finish.number) for key, finish in folded.finished.items()]
    found += [(out.key, number) for number, out in folded.out.items()]
    return [
        key for key, number in found
        if functions is None or name_of(folded, number) in functions
    ]  # fmt: skip


def _files_of(journal: Path) -> list[Path]:
    """Return which files are meant: of a script, the volumes of its cache, the newest first."""
    if volumes := volumes_in(folder_of(journal)):
        return volumes
    if journal.is_dir() or journal.suffix == ".py":
        raise click.UsageError(
            f"no results of {journal} are cached; 'masterslave status' lists the scripts that have "
            "some"
        )
    return [journal]


def _show_caches(as_json: bool) -> None:
    found = []
    for folder in sorted(results_dir().iterdir()) if results_dir().exists() else ():
        if not (volumes := volumes_in(folder)):
            continue
        label, keys = str(folder), set[bytes]()
        for path in volumes:
            with contextlib.suppress(JournalUnusable), Journal.read_only(path) as reader:
                label = reader.label
                keys |= reader.folded.finished.keys()
        size = sum(map(size_of, volumes))
        found.append({"script": label, "results": len(keys), "bytes": size})
    if as_json:
        click.echo(json.dumps({"caches": found}, indent=2))
        return
    click.echo(f"results of {how_many(len(found), 'script')} are cached in {results_dir()}")
    table = Table(box=None)
    table.add_column("script", overflow="fold")
    table.add_column("results")
    table.add_column("bytes")
    for each in found:
        table.add_row(cell(each["script"]), str(each["results"]), f"{each['bytes']:,}")
    if found:
        rich.print(table)


def _failed_in(reader: JournalReader) -> list[dict[str, str]]:
    """Return the tasks that have failed, each once, though it may have failed in several runs."""
    folded = reader.folded
    latest = {folded.key_of(one.number) or one.number: one for one in failed_tasks(reader)}
    return [
        {
            "task": in_run(one.number),
            "function": one.function,
            "why": one.why,
            "error": _error_of(reader, one.number),
        }
        for one in latest.values()
    ]


def _error_of(reader: JournalReader, number: int) -> str:
    """Return what a task has raised, in a line; empty: it has not, or that is not known."""
    finish = reader.folded.finished.get(reader.folded.key_of(number) or b"")
    if finish is None:
        return ""
    try:
        payload = reader.read(finish.place)
        if finish.kind == MIXED:
            payload = (items_in(payload) or ())[finish.skip].payload
        raised = msgspec.msgpack.decode(payload, type=Raised)
    except (IndexError, JournalUnusable, *UNREADABLE):
        return ""
    return " ".join(f"{raised.type_name}: {raised.message}".split())


def _failed_in_words(
    failed: Sequence[Mapping[str, str]], journal: Path, *, runs_again: bool
) -> Iterator[str]:
    if not failed:
        return
    count, has, runs = len(failed), "have", "run"
    if count == 1:
        has, runs = "has", "runs"
    then = f", and {runs} again when the script is started next" if runs_again else ""
    yield f"{how_many(count, 'task')} {has} failed{then}:"
    for one in failed[-_MOST_SHOWN:]:
        yield show_text(f"  {one['task']}  {one['function']}: {one['error'] or one['why']}")
    if len(failed) > _MOST_SHOWN:
        yield f"  (the last {_MOST_SHOWN} of them; --json tells all)"
    yield f"'masterslave show {journal} TASK' tells more of each"


def _run_again(count: int) -> str:
    return how_many(count, "task") + (" runs" if count == 1 else " run")


def _moment(at: float | None) -> str:
    return "never" if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
