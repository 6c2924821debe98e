"""How a doctor's findings are told: ``nameserver doctor``, and others of its kind."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence

import click

from nameserver.doctor import Finding

__all__ = ["tell"]

_STYLES = {"ok": "green", "note": "yellow", "wrong": "bold red"}


def tell(findings: Sequence[Finding], *, as_json: bool) -> int:
    """Print findings; returns the exit code: 1 if something is wrong."""
    wrong = sum(finding.level == "wrong" for finding in findings)
    if as_json:
        told = [dataclasses.asdict(finding) for finding in findings]
        click.echo(json.dumps({"is_well": not wrong, "findings": told}, indent=2))
    else:
        _print(findings)
        number = "1 thing is" if wrong == 1 else f"{wrong} things are"
        click.echo(f"{number} wrong" if wrong else "nothing is wrong")
    return 1 if wrong else 0


def _print(findings: Sequence[Finding]) -> None:
    if sys.stdout is None or not sys.stdout.isatty():
        for finding in findings:
            click.echo(f"{finding.level:<5}  {finding.check:<11}  {finding.text}")
            if finding.mend:
                click.echo(f"{'':<5}  {'':<11}  -> {finding.mend}")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    before = ""
    for finding in findings:
        check = "" if finding.check == before else finding.check
        before = finding.check
        level = Text(finding.level, _STYLES[finding.level])
        table.add_row(level, Text(check, "bold"), Text(finding.text))
        if finding.mend:
            table.add_row("", "", Text(f"-> {finding.mend}", "cyan"))
    Console().print(table)
