"""``nameserver leaders``: which master acts for a farm that has a standby."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from nameserver.cli.options import Reach, examples, json_option, reaching
from nameserver.cli.printing import until_nobody_reads
from nameserver.leadership import Leadership

__all__ = ["leaders"]

_TITLES = ("name", "epoch", "holder", "node", "successor", "lease")


@click.command(
    epilog=examples(
        "nameserver leaders",
        "nameserver leaders --json | jq -r '.[] | select(.left_s == 0) | .name'",
        "nameserver leaders --free 3f1c52a90b7d64e8   # holder and successor are lost for good",
    )
)
@click.option(
    "--free",
    "to_free",
    metavar="NAME",
    help="Let another copy lead NAME: what only its holder and its successor had is lost.",
)
@json_option
@reaching
def leaders(to_free: str | None, as_json: bool, reach: Reach) -> None:
    """List who leads what: of each farm with a standby, the copy that its master works on.

    With --json: a list of objects with name (the id of the farm), epoch (grows with each holder),
    holder and successor (ids of copies; "": none), node (of the holder, by its certificate; else
    ""), lease_s, left_s (0: the lease is over, and the holder acts no more).
    """
    with reach.connect() as server:
        if to_free is not None:
            server.free(to_free)
            click.echo(f"{to_free} is free: the next master that asks for it leads it", err=True)
        found = server.leaders()
    with until_nobody_reads():
        if as_json:
            click.echo(json.dumps([_as_dict(each) for each in found], indent=2))
        elif sys.stdout.isatty():
            _print_table(found)
        else:
            for each in found:
                click.echo("\t".join(_cells(each)))


def _as_dict(leadership: Leadership) -> dict[str, Any]:
    return {
        "name": leadership.name,
        "epoch": leadership.epoch,
        "holder": leadership.holder,
        "successor": leadership.successor,
        "node": leadership.node,
        "lease_s": leadership.lease_s,
        "left_s": round(leadership.left_s, 3),
    }


def _cells(leadership: Leadership) -> tuple[str, ...]:
    left = f"{leadership.left_s:.1f} s" if leadership.left_s else "over"
    return (
        leadership.name,
        str(leadership.epoch),
        leadership.holder or "free",
        leadership.node,
        leadership.successor,
        left if leadership.holder else "",
    )


def _print_table(found: Sequence[Leadership]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in _TITLES:
        table.add_column(title, overflow="fold")
    for each in found:
        table.add_row(*map(Text, _cells(each)))  # a str would be rich's markup
    Console().print(table if found else "nobody leads anything")
