"""``masterslave standby``: another machine for a farm's master."""

from __future__ import annotations

from pathlib import Path

import click

from masterslave.cli.identities import identity_for
from masterslave.cli.serving import log_to_stderr, say_if_lost, serving_options
from masterslave.standby import Standby
from remoteobj.cli import IdentityFiles, end_at_signals

__all__ = ["standby"]


@click.command()
@serving_options(
    journal="Keep the copy of the farm's journal in this file",
    local_slaves="When it takes over, start so many slaves of one slot each here",
    host="Then serve other machines at this address of this one",
    nameserver="Find the master at this name server",
    output="When it takes over, what becomes of lines that tasks print",
)
def standby(
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
    """Follow the farm LABEL, which 'masterslave master' runs on another machine, and go on in its
    place when it is gone; until Ctrl-C.

    While it is in step, whatever slaves and scripts are told is in its file too. The name server
    decides who leads. The machine that was the master may become the standby in its turn.
    """
    who, insecure, cluster = identity_for(identity, insecure, cluster)
    log_to_stderr()
    ended = end_at_signals()
    following = Standby(
        label,
        journal,
        nameserver=nameserver,
        identity=who,
        insecure=insecure,
        cluster=cluster,
        host=host,
        report=click.echo,
        local_slaves=local_slaves,
        output=output,
    )
    following.run_until(ended)
    if following.service is not None:
        say_if_lost(following.service)
    click.echo(f"the standby of farm {label!r} ended; start it again with the same file: {journal}")
