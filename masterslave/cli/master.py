"""``masterslave master``: a farm that runs by itself, for scripts that come and go."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path

import click

from masterslave.cli.identities import identity_for
from masterslave.naming import check_label
from masterslave.service.service import Service
from nameserver import NotLeader
from remoteobj.cli import IdentityFiles, identity_option, insecure_option

__all__ = ["log_to_stderr", "master", "say_if_lost"]


@click.command()
@click.argument("label")
@click.option(
    "--journal",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Keep tasks and results in this file; it is made where there is none.",
)
@click.option(
    "--local-slaves",
    type=click.IntRange(0, 4096),
    default=0,
    metavar="N",
    help="Start so many slaves of one slot each here, which end with it; default: none.",
)
@click.option("--host", help="Serve other machines at this address of this one; default: at all.")
@click.option(
    "--nameserver",
    metavar="HOST:PORT",
    help="Register at this name server; default: REMOTEOBJ_NAMESERVER, else those that zeroconf "
    "finds, where this machine was paired.",
)
@click.option("--cluster", metavar="NAME", help="Of this cluster. Default: REMOTEOBJ_CLUSTER.")
@click.option(
    "--output",
    type=click.Choice(["show", "log", "none"]),
    default="none",
    help="What becomes of lines that tasks print: shown here, logged here, or left at the slaves "
    "(default).",
)
@identity_option
@insecure_option("Use name servers on plain TCP.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
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
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
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
    )
    try:
        service.open()
        click.echo(f"farm {label!r} at {service.uri.location}, kept in {journal}; Ctrl-C ends it")
        sys.stdout.flush()
    except BaseException:
        service.close()
        raise
    service.run_until(ended)
    say_if_lost(service)
    click.echo(f"farm {label!r} ended; what is open goes on when it is started again: {journal}")


def say_if_lost(service: Service) -> None:
    """Say that another master acts for the farm, if it is so.

    Raises:
        NotLeader: It is.
    """
    if service.lost:
        raise NotLeader(
            f"farm {service.label!r} is no more led from here: {service.lost}. Slaves and scripts "
            f"go to its next master; to follow that: masterslave standby {service.label} --journal "
            f"{service.journal.path}"
        )


def log_to_stderr() -> None:
    """Have what happens told on standard error, with the time."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("masterslave")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
