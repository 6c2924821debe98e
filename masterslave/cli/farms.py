"""``masterslave list`` and ``show``: the farms there are, how they are doing, and what became of
their tasks.
"""

from __future__ import annotations

import json
from typing import Any

import click
import rich
from rich.table import Table
from rich.text import Text

from masterslave.cli.cells import cell
from masterslave.cli.finding import Look, with_places
from masterslave.cli.stories import is_file, no_farm, show_failed, show_task
from masterslave.naming import check_label

__all__ = ["list_farms", "show"]

_SHOWN = 3

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("list")
@_json
@click.option("--slaves", "only_slaves", is_flag=True, help="Only the slaves.")
@with_places
def list_farms(look: Look, as_json: bool, only_slaves: bool) -> None:
    """List the farms that are running, and the slaves that serve them or wait for one.

    With --json it is the farms, each with its slaves, or with --slaves all slaves.
    """
    seen = look()
    slaves = [slave.facts() for slave in seen.slaves]
    if as_json:
        click.echo(json.dumps(slaves if only_slaves else seen.farms, indent=2))
        return
    if not only_slaves:
        _list_farms(seen.farms)
    if slaves:
        _list_slaves(slaves)
    elif only_slaves:
        click.echo("no slave is seen; 'masterslave slave' starts one")


def _list_farms(farms: list[dict[str, Any]]) -> None:
    if not farms:
        click.echo("no farm is running; a script starts one with 'with Farm(\"label\") as farm:'")
        return
    table = Table("label", "script", "host", "pid", "slaves", "tasks done", "state", box=None)
    for farm in farms:
        counts = farm.get("statistics", {})
        wanted = counts["submitted"] - counts["cancelled"] if counts else 0
        done = f"{counts['done']} of {wanted}" if counts else "?"
        is_idle = bool(counts) and counts["done"] + counts["given_up"] >= wanted
        _add_row(
            table,
            farm["label"],
            farm["script"],
            farm["host"],
            farm["pid"],
            len(farm.get("slaves", ())),
            done,
            farm.get("unreachable") or farm["waits"] or ("idle" if is_idle else "working"),
        )
    rich.print(table)


def _list_slaves(slaves: list[dict[str, Any]]) -> None:
    table = Table("slave", "host", "pid", "slots", "serves", "holds", "state", box=None)
    for slave in slaves:
        columns = ("name", "host", "pid", "slots")
        serves = ", ".join(slave["farms"]) or "no farm now"
        if slave["refused"]:
            serves += f"; not {', '.join(slave['refused'])} (--allow)"
        cells = (slave[column] for column in columns)
        _add_row(table, *cells, serves, slave["held"], slave["state"])
    rich.print(table)


@click.command()
@click.argument("label", metavar="LABEL_OR_FILE")
@click.argument("task", required=False)
@_json
@with_places
def show(look: Look, label: str, task: str | None, as_json: bool) -> None:
    """Show the farms of LABEL: tasks, slaves, what they run and what they wait for.

    With TASK, tell the story of one task from the journal of the farm on this machine, or from the
    journal FILE: to whom it was handed out, how it was lost, what it raised. TASK is its number
    where tasks print, in the last run, or RUN:NUMBER; its key; or the name of its function, which
    means the last one that failed. Of a FILE without TASK, list the tasks that have failed.
    """
    if task is not None:
        show_task(look, label, task, as_json=as_json)
        return
    if is_file(label):
        show_failed(label, as_json=as_json)
        return
    check_label(label)
    farms = look(label).farms
    if not farms:
        raise no_farm(label)
    if as_json:
        click.echo(json.dumps(farms, indent=2))
        return
    for farm in farms:
        _show(farm)


def _show(farm: dict[str, Any]) -> None:
    of = f" of {farm['script']} (pid {farm['pid']} on {farm['host']})"
    rich.print(Text.assemble((farm["label"], "bold"), cell(of)))
    if "unreachable" in farm:
        rich.print(cell(f"  does not answer: {farm['unreachable']}"))
        return
    counts = farm["statistics"]
    rich.print(
        f"  tasks: {counts['done']} of {counts['submitted']} done, {counts['waiting']} waiting, "
        f"{counts['failed']} failed, {counts['cancelled']} cancelled, "
        f"{counts['handed_out_again']} handed out again, "
        f"{counts['retried']} run again after they raised"
    )
    _show_shared(counts, farm["slaves"])
    if standby := farm.get("standby"):
        rich.print(cell(f"  standby: {standby['state']}, on {standby['host']}"))
    if farm["waits"]:
        rich.print(cell(f"  {farm['waits']}"))
    table = Table(
        "slave", "host", "pid", "slots", "offers", "state", "holds", "done", "runs", box=None
    )
    for slave in [*farm["slaves"], *farm["former_slaves"]]:
        amounts = [f"{name}={amount:g}" for name, amount in slave["offers"].items()]
        offers = ", ".join([*amounts, *["named tasks only"] * bool(slave.get("only_named"))])
        _add_row(
            table,
            *(slave[column] for column in ("name", "host", "pid", "slots")),
            offers or "-",
            slave["takes_nothing"] or slave["state"],
            slave["held"],
            slave["done"],
            _runs_in_words(slave["runs"]),
        )
    if table.row_count:
        rich.print(table)
    for slave in farm["slaves"]:
        for line in slave["evidence"]:
            rich.print(cell(f"  {slave['name']} is quarantined: {line}"))
        if slave["lacks"]:
            lacks = ", ".join(slave["lacks"])
            rich.print(cell(f"  {slave['name']} on {slave['host']} has no package {lacks}"))


def _show_shared(counts: dict[str, Any], slaves: list[dict[str, Any]]) -> None:
    """Show where shared objects came from, if they went anywhere."""
    sent, given = counts.get("shared_bytes_sent", 0), counts.get("shared_bytes_given", 0)
    givers = [slave for slave in slaves if slave.get("gives_at")]
    if not (sent or given or givers):
        return
    words = f"  shared objects: {_size(sent)} sent by the script, {_size(given)} by slaves"
    rich.print(cell(f"{words}; {len(givers)} of {len(slaves)} slaves give them to others"))
    for slave in givers:
        wrong, lost = slave["wrong_pieces"], slave["lost_pieces"]
        if wrong:
            rich.print(cell(f"  {slave['name']} gave something else, and is asked no more"))
        elif lost:
            gave = f"gave {_size(slave['given_bytes'])}, and nothing {lost} times"
            rich.print(cell(f"  {slave['name']} at {slave['gives_at']} {gave}"))


def _size(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"


def _runs_in_words(runs: list[dict[str, Any]]) -> str:
    longest = sorted(runs, key=lambda run: -float(run["since_s"]))
    words = [f"{run['function'] or '?'}() for {run['since_s']:.1f} s" for run in longest[:_SHOWN]]
    return ", ".join(words) + (f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else "")


def _add_row(table: Table, *cells: object) -> None:
    table.add_row(*map(cell, cells))
