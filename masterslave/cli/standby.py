"""``masterslave standby``: another machine for a farm's master."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from masterslave.cli.identities import identity_for
from masterslave.cli.master import log_to_stderr, say_if_lost
from masterslave.standby import Standby
from remoteobj.cli import IdentityFiles, identity_option, insecure_option

__all__ = ["standby"]


@click.command()
@click.argument("label")
@click.option(
    "--journal",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Keep the copy of the farm's journal in this file; it is made where there is none.",
)
@click.option(
    "--local-slaves",
    type=click.IntRange(0, 4096),
    default=0,
    metavar="N",
    help="When it takes over, start so many slaves of one slot each here; default: none.",
)
@click.option("--host", help="Then serve other machines at this address of this one.")
@click.option(
    "--nameserver",
    metavar="HOST:PORT",
    help="Find the master at this name server; default: REMOTEOBJ_NAMESERVER, else those that "
    "zeroconf finds, where this machine was paired.",
)
@click.option("--cluster", metavar="NAME", help="Of this cluster. Default: REMOTEOBJ_CLUSTER.")
@identity_option
@insecure_option("Use name servers on plain TCP.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def standby(
    label: str,
    journal: Path,
    local_slaves: int,
    host: str | None,
    nameserver: str | None,
    cluster: str | None,
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
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
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
    )
    following.run_until(ended)
    if following.service is not None:
        say_if_lost(following.service)
    click.echo(f"the standby of farm {label!r} ended; start it again with the same file: {journal}")
