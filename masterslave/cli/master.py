"""``masterslave master``: a farm that runs by itself, for scripts that come and go."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from masterslave.cli.identities import identity_for
from masterslave.cli.serving import log_to_stderr, say_if_lost, serving_options
from masterslave.naming import PREFIX, check_label, read_record
from masterslave.printed import show_text
from masterslave.service.service import Service
from nameserver import Directory
from remoteobj.cli import IdentityFiles, end_at_signals

__all__ = ["master"]


@click.command()
@serving_options(
    journal="Keep tasks and results in this file",
    local_slaves="Start so many slaves of one slot each here, which end with it",
    host="Serve other machines at this address of this one",
    nameserver="Register at this name server",
    output="What becomes of lines that tasks print",
)
def master(
    label: str,
    journal: Path,
    local_slaves: int,
    host: str | None,
    nameserver: str | None,
    cluster: str | None,
    output: str,
    identity: IdentityFiles | None,
    insecure: bool,
    debug: bool,
) -> None:  # fmt: skip
    """Run the farm LABEL as a service, until Ctrl-C: scripts attach to it, leave tasks with it, and
    come back for the results (Farm.attach).

    All of it is in the journal. Whatever ends this command, start it again with the same file: what
    was submitted is run, and what slaves have done meanwhile is taken from them.
    """
    check_label(label)
    who, insecure, cluster = identity_for(identity, insecure, cluster)
    log_to_stderr()
    ended = end_at_signals()
    service = Service(
        label,
        journal,
        local_slaves=local_slaves,
        nameserver=nameserver,
        identity=who,
        insecure=insecure,
        cluster=cluster,
        host=host,
        output=output,
        ended=ended,
    )
    try:
        if service.open():
            where = service.uri.location
            click.echo(f"farm {label!r} at {where}, kept in {journal}; Ctrl-C ends it")
            sys.stdout.flush()
            _say_who_has_the_label(label)
    except BaseException:
        service.close()
        raise
    service.run_until(ended)
    say_if_lost(service)
    click.echo(f"farm {label!r} ended; what is open goes on when it is started again: {journal}")


def _say_who_has_the_label(label: str) -> None:
    """Say which other farms of this user here have the label: scripts that attach get any of them,
    and slaves serve them all.
    """
    with Directory() as directory:
        farms = [read_record(record) for record in directory.list(PREFIX)]
    for farm in farms:
        if farm is not None and farm.label == label and farm.pid != os.getpid():
            who = show_text(f"{farm.script} (process {farm.pid})")
            click.echo(
                f"masterslave: {who} has a farm {label!r} here, too: scripts may attach to either, "
                "and slaves serve both; give one of them another label",
                err=True,
            )
