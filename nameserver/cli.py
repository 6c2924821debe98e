"""``nameserver``: run one, and look at the names there are."""

from __future__ import annotations

import contextlib
import functools
import json
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import click

from nameserver.client import NameServerClient
from nameserver.directory import Directory
from nameserver.errors import NameServerNotFound, NameUnknown
from nameserver.locate import locate
from nameserver.record import Record, check_name, make_record
from nameserver.server import NameServer
from remoteobj import Identity, RemoteObjError
from remoteobj.cli import (
    IdentityFiles,
    identity_option,
    insecure_option,
    read_identity,
    run_command,
)

__all__ = ["main"]

_SIGNAL_S = 0.5

_debug = click.option("--debug", is_flag=True, help="Show the traceback of an error.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _secured(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how TCP is spoken; the command gets what they come to."""

    @identity_option
    @insecure_option()
    @functools.wraps(command)
    def secured(*, identity: IdentityFiles | None, insecure: bool, **given: Any) -> None:
        who, insecure = read_identity(identity, insecure)
        command(identity=who, insecure=insecure, **given)

    return secured


def _reach(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which name server is meant."""
    for option in (
        _debug,
        _secured,
        click.option("--timeout", "timeout_s", type=float, default=2.0, show_default=True,
                     help="Longest time to look for a name server, in seconds."),
        click.option("--nameserver", "address", metavar="HOST:PORT",
                     help="Where it is; else REMOTEOBJ_NAMESERVER, else zeroconf."),
    ):  # fmt: skip
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="remoteobj-farm")
@_debug
def main_group(debug: bool) -> None:
    """Find objects by name, on this machine and on the network."""


@main_group.command()
@click.option("--host", help="Address of this machine to listen on; 0.0.0.0 is all of them.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="TCP port; 0: a free one.")
@click.option("--no-announce", is_flag=True, help="Do not announce it by zeroconf.")
@_secured
@_debug
def run(
    host: str | None,
    port: int,
    no_announce: bool,
    identity: Identity | None,
    insecure: bool,
    debug: bool,
) -> None:  # fmt: skip
    """Run a name server for the machines of a network, until Ctrl-C."""
    if host and host.count(":") == 1:  # an IPv6 address has more
        raise click.UsageError(f"--host takes an address without a port: give --port, not {host!r}")
    if not host:
        raise click.UsageError(
            "--host is missing: the address of this machine that others reach it by, such as "
            "192.168.1.20 (127.0.0.1: this machine only; names of one machine need no server)"
        )
    if identity is None and not insecure:
        raise click.UsageError(
            "--identity CA CERTIFICATE KEY is missing: with it, machines with certificates of the "
            "same CA are served; or say --insecure if you trust everyone on this network, because "
            "whoever reaches the port can then register and remove names"
        )
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with NameServer(
        host, port, identity=identity, insecure=insecure, announce=not no_announce
    ) as server:
        presence = f'announced by zeroconf as "{server.announced}"'
        if server.announced is None:
            presence = f"not announced: {server.announce_problem or 'as you wished'}"
        click.echo(f"name server at {server.address}, {presence}; Ctrl-C ends it")
        sys.stdout.flush()
        while not ended.wait(_SIGNAL_S):  # a signal just before a wait does not interrupt it
            pass
    click.echo("name server ended; its names are gone")


@main_group.command("list")
@click.option("--prefix", default="", help="Only names that begin so.")
@_json
@_reach
def list_names(prefix: str, as_json: bool, address: str | None, **reach: Any) -> None:
    """List the names of this machine and those at the name server."""
    with Directory() as directory:
        found = [("this machine", record) for record in directory.list(prefix)]
    missing: RemoteObjError | None = None
    try:
        with _server(address, **reach) as server:
            found += [(server.address, record) for record in server.list(prefix)]
    except RemoteObjError as error:
        missing = error
    _print(found, as_json)
    if missing is not None and address:  # this one was asked for
        raise missing
    if missing is not None:
        click.echo(f"nameserver: only names of this machine: {missing}", err=True)


@main_group.command()
@click.argument("name")
@_json
@_reach
def lookup(name: str, as_json: bool, address: str | None, **reach: Any) -> None:
    """Print where the object called NAME is."""
    check_name(name)
    if address is None:
        with Directory() as directory, contextlib.suppress(NameUnknown):
            _print_one("this machine", directory.lookup(name), as_json)
            return
    try:
        with _server(address, **reach) as server:
            _print_one(server.address, server.lookup(name), as_json)
    except NameServerNotFound as error:
        if address is not None:
            raise
        raise NameUnknown(
            f"nothing on this machine is registered as {name!r}, and {error}"
        ) from error


@main_group.command()
@click.argument("name")
@click.argument("uri")
@click.option("--meta", multiple=True, help="A short text by which it is told apart; repeatable.")
@click.option("--replace", is_flag=True, help="Let a name that is taken stand for this object.")
@_reach
def register(name: str, uri: str, meta: tuple[str, ...], replace: bool, **reach: Any) -> None:
    """Register the object at URI as NAME, at the name server."""
    make_record(name, uri, meta)
    try:
        server = _server(**reach)
    except NameServerNotFound as error:
        raise NameServerNotFound(
            f"{error} (the directory of this machine is no place for it: a name there ends with "
            "the process that registers it)"
        ) from error
    with server:
        server.register(name, uri, metadata=meta, replace=replace, lease_s=None)
    click.echo(f"registered {name} at {server.address}")


@main_group.command()
@click.argument("name")
@_reach
def remove(name: str, **reach: Any) -> None:
    """Remove NAME from the name server."""
    check_name(name)
    with _server(**reach) as server:
        if not server.remove(name):
            raise NameUnknown(
                f"nothing to remove: {name!r} is no name at {server.address}, or its own"
            )
    click.echo(f"removed {name} from {server.address}")


@main_group.command()
@_reach
def ping(**reach: Any) -> None:
    """Find the name server, and say where it is and how it was found."""
    with _server(**reach) as server:
        click.echo(f"name server at {server.address} answers (address: {server.how})")


def _server(
    address: str | None,
    timeout_s: float,
    identity: Identity | None,
    insecure: bool,
    debug: bool = False,
) -> NameServerClient:
    return locate(address, timeout_s=timeout_s, identity=identity, insecure=insecure)


def _as_dict(where: str, record: Record) -> dict[str, Any]:
    return {
        "name": record.name,
        "where": where,
        "uri": str(record.uri),
        "metadata": sorted(record.metadata),
        "pid": record.pid,
    }


def _print_one(where: str, record: Record, as_json: bool) -> None:
    click.echo(json.dumps(_as_dict(where, record)) if as_json else str(record.uri))


def _print(found: list[tuple[str, Record]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([_as_dict(where, record) for where, record in found], indent=2))
    elif not sys.stdout.isatty():
        for where, record in found:
            metadata = ",".join(sorted(record.metadata))
            click.echo(f"{record.name}\t{where}\t{record.uri}\t{metadata}")
    else:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table("name", "where", "uri", "metadata")
        for where, record in found:
            cells = (record.name, where, str(record.uri), ", ".join(sorted(record.metadata)))
            table.add_row(*map(Text, cells))  # a str would be read as rich's markup
        Console().print(table)


def main() -> None:
    """Entry point of the console script."""
    main_group.name = "nameserver"
    sys.exit(run_command(main_group))
