"""``nameserver run``: a name server in the foreground, until Ctrl-C."""

from __future__ import annotations

import contextlib
import functools
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from nameserver.cli.options import cluster_option, debug_option, examples, secured
from nameserver.clusters import DEFAULT_CLUSTER, chosen_cluster
from nameserver.server import DEFAULT_PORT, NameServer
from nameserver.storage import SqliteStorage
from remoteobj import AddressUnusable, Identity
from remoteobj.cli import end_at_signals

__all__ = ["run"]

_SIGNAL_S = 0.5


@click.command(
    epilog=examples(
        "nameserver run                                  # for the machines that you pair",
        "nameserver run --host 192.168.1.20 --store names.db",
        "nameserver run --host 127.0.0.1 --insecure      # for a try on this machine",
    )
)
@click.option(
    "--host",
    help="Address of this machine to listen on; default: 0.0.0.0, all of them, unless --insecure.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help=f"TCP port; default: {DEFAULT_PORT}, or a free one where that is in use.",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Keep the names in this file; without it they end with the server.",
)
@cluster_option("What the cluster is called that it serves.")
@click.option("--no-announce", is_flag=True, help="Do not announce it by zeroconf.")
@secured
@debug_option
def run(
    host: str | None,
    port: int | None,
    store: Path | None,
    cluster: str | None,
    no_announce: bool,
    identity: Identity | None,
    insecure: bool,
    debug: bool,
) -> None:  # fmt: skip
    """Run a name server for the machines of a network, until Ctrl-C.

    It serves the machines of the cluster that this account is in, and nobody else; where it is in
    none, it founds one first, and other machines join it when they are invited ('nameserver
    invite'). Another machine of the cluster may run a second name server in the same way.

    On a terminal it says how many names it holds, how many connections are open, and how many calls
    it has answered. Ctrl-C and SIGTERM end it, with exit code 0.
    """
    host = _check_host(host, insecure=insecure)
    chosen, founded = chosen_cluster(cluster) or DEFAULT_CLUSTER, False
    if identity is None and not insecure:
        identity, founded = _found(chosen), True
    elif identity is not None:
        chosen = identity.founded_as or chosen
    make = functools.partial(
        _open,
        host,
        store,
        cluster=chosen,
        identity=identity,
        insecure=insecure,
        announce=not no_announce,
    )
    server = _at_port(make, port)
    ended = end_at_signals()
    with server:
        kept = "" if store is None else f", {_names(server)} in {store}"
        click.echo(f"name server at {server.address}, {_presence(server)}{kept}; Ctrl-C ends it")
        if founded:
            click.echo(
                f"founded the cluster {chosen!r}, with this machine as the first of it; "
                "invite machines: nameserver invite"
            )
        sys.stdout.flush()
        with _status(server) as show:
            while not ended.wait(_SIGNAL_S):  # a signal just before a wait does not interrupt it
                show()
        left = _names(server)
    click.echo(
        f"name server ended; {'its names are gone' if store is None else _kept(left, store)}"
    )


def _found(cluster: str) -> Identity:
    """Make a cluster on this account, and return who this machine is in it."""
    from remoteobj.identity.office import found_cluster  # imports cryptography

    found_cluster(cluster, name=socket.gethostname(), now=time.time())
    return Identity.stored(cluster)


def _open(host: str, store: Path | None, port: int, **options: Any) -> NameServer:
    storage = None if store is None else SqliteStorage(store)
    try:
        return NameServer(host, port, storage=storage, **options)
    except BaseException:
        if storage is not None:
            storage.close()
        raise


def _at_port(make: Callable[[int], NameServer], port: int | None) -> NameServer:
    """Make a server at a port; where none was asked for and the usual one is in use, at another."""
    if port is not None:
        return make(port)
    try:
        return make(DEFAULT_PORT)
    except AddressUnusable:
        server = make(0)  # raises again where it is not for the port
    click.echo(f"nameserver: port {DEFAULT_PORT} is in use, so it took another", err=True)
    return server


def _check_host(host: str | None, *, insecure: bool) -> str:
    if host is None and not insecure:
        return "0.0.0.0"
    if not host:
        raise click.UsageError(
            "--host is missing: the address of this machine that others reach it by, such as "
            "192.168.1.20 (127.0.0.1: this machine only; names of one machine need no server)"
        )
    if host.count(":") == 1:  # an IPv6 address has more
        raise click.UsageError(f"--host takes an address without a port: give --port, not {host!r}")
    return host


def _presence(server: NameServer) -> str:
    if server.announced is not None:
        return f'announced by zeroconf as "{server.announced}"'
    return f"not announced: {server.announce_problem or 'as you wished'}"


def _names(server: NameServer) -> str:
    """Say how many names there are beside its own."""
    number = server.statistics().names - 1
    return "1 name" if number == 1 else f"{number} names"


def _kept(left: str, store: Path) -> str:
    return f"{left} {'is' if left == '1 name' else 'are'} kept in {store}"


@contextlib.contextmanager
def _status(server: NameServer) -> Iterator[Callable[[], None]]:
    """Give what brings the line of status up to date; where nobody looks there is none.

    What is logged or warned of meanwhile stands above it.
    """
    if not sys.stdout.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    def line() -> Text:
        now = server.statistics()
        connections = f"{now.connections} connection{'s' * (now.connections != 1)}"
        calls = f"{now.calls} call{'s' * (now.calls != 1)}"
        return Text(f"{_names(server)}, {connections}, {calls}", "dim", overflow="ellipsis")

    with Live(line(), console=Console(), auto_refresh=False, transient=True) as live:
        yield lambda: live.update(line(), refresh=True)
