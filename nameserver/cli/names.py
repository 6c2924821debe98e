"""``nameserver list``, ``lookup``, ``register``, ``remove`` and ``ping``."""

from __future__ import annotations

import contextlib
import json
import time

import click

from nameserver.cli.completing import complete_names
from nameserver.cli.options import Reach, examples, json_option, prefix_option, reaching
from nameserver.cli.printing import HERE, as_dict, print_names, until_nobody_reads
from nameserver.clusters import cluster_in
from nameserver.directory import Directory
from nameserver.errors import NameServerNotFound, NameUnknown, NamingError
from nameserver.record import NAME_SERVER, Record, check_name, make_record
from remoteobj import URI, BadInput, RemoteObjError

__all__ = ["list_names", "lookup", "ping", "register", "remove"]

_meta = click.option(
    "--meta",
    multiple=True,
    metavar="TAG",
    help="A short text by which it is told apart; repeatable.",
)


@click.command(
    "list",
    epilog=examples(
        "nameserver list --prefix lab. --meta camera",
        "nameserver list --json | jq '.[] | select(.problem != \"\") | .name'",
    ),
)
@prefix_option
@click.option("--meta", multiple=True, metavar="TAG", help="Only names with this; repeatable.")
@json_option
@reaching
def list_names(prefix: str, meta: tuple[str, ...], as_json: bool, reach: Reach) -> None:
    """List the names of this machine and those at the name server.

    A name that the server does not reach is marked with '!', and the reason is said. A name server
    that was asked for, by an option or a variable, and does not answer, is an error (exit code 1);
    the names of this machine are printed all the same.

    With --json: a list of objects with name, where, uri, metadata (a list), pid (of this machine's
    names), lease_s (null: permanent), since (Unix time at the server), age_s, hosts (at which the
    server reached it), problem (why it does not; else ""), node and role (of the machine that
    registered it, by its certificate; else "").
    """
    with Directory() as directory:
        found = [(HERE, record) for record in directory.list(prefix)]
    missing: RemoteObjError | None = None
    try:
        with reach.connect() as server:
            found += [(server.address, record) for record in server.list(prefix)]
    except RemoteObjError as error:
        missing = error
    wanted = frozenset(meta)
    with until_nobody_reads():
        print_names([each for each in found if wanted <= each[1].metadata], as_json=as_json)
    if missing is None:
        return
    if reach.is_said or not isinstance(missing, NameServerNotFound):
        raise missing
    click.echo(f"nameserver: only names of this machine: {missing}", err=True)


@click.command(epilog=examples("nameserver lookup lab.camera"))
@click.argument("name", shell_complete=complete_names)
@json_option
@reaching
def lookup(name: str, as_json: bool, reach: Reach) -> None:
    """Print where the object called NAME is.

    Where no name server was given, this machine's names are looked at first. With --json: an object
    as in 'nameserver list --json'.
    """
    check_name(name)
    if reach.address is None:
        with Directory() as directory, contextlib.suppress(NameUnknown):
            _print_one(HERE, directory.lookup(name), as_json)
            return
    try:
        with reach.connect() as server:
            where, record = server.address, server.lookup(name)
    except NameServerNotFound as error:
        if reach.address is not None:
            raise
        raise NameUnknown(
            f"nothing on this machine is registered as {name!r}, and {error}"
        ) from error
    _print_one(where, record, as_json)
    if record.problem:
        click.echo(
            f"nameserver: warning: the name server does not reach {name}: {record.problem}",
            err=True,
        )


@click.command(
    epilog=examples(
        "nameserver register lab.camera PYRO:camera@192.168.1.21:4711 --meta camera",
        "nameserver register lab.camera PYRO:camera@192.168.1.22:4711 --replace",
    )
)
@click.argument("name")
@click.argument("uri")
@_meta
@click.option("--replace", is_flag=True, help="Let a name that is taken stand for this object.")
@click.option(
    "--replaces", metavar="URI", help="The same, but only where it stands for this one now."
)
@reaching
def register(
    name: str,
    uri: str,
    meta: tuple[str, ...],
    replace: bool,
    replaces: str | None,
    reach: Reach,
) -> None:  # fmt: skip
    """Register the object at URI as NAME, at the name server.

    It stays until it is removed, because no process keeps it; the server calls the object now and
    then, and 'nameserver list' marks it if it does not answer. A URI that the server does not reach
    is registered with a warning.
    """
    try:
        make_record(name, uri, meta)
    except BadInput:
        raise
    except NamingError as error:  # its URI or metadata: here they are arguments
        raise BadInput(str(error)) from error
    if replace and replaces is not None:
        raise click.UsageError("--replace means whatever it stands for, --replaces means only that "
                               "one: give one of them")  # fmt: skip
    before = None if replaces is None else URI(replaces)
    try:
        server = reach.connect()
    except NameServerNotFound as error:
        raise NameServerNotFound(
            f"{error} (the directory of this machine is no place for it: a name there ends with "
            "the process that registers it)"
        ) from error
    with server:
        server.register(
            name, uri, metadata=meta, replace=replace, replaces=before, lease_s=None
        )  # fmt: skip
    click.echo(f"registered {name} at {server.address}")


@click.command(epilog=examples("nameserver remove lab.camera"))
@click.argument("name", shell_complete=complete_names)
@reaching
def remove(name: str, reach: Reach) -> None:
    """Remove NAME from the name server."""
    check_name(name)
    with reach.connect() as server:
        if not server.remove(name):
            raise NameUnknown(
                f"nothing to remove: {name!r} is no name at {server.address}, or its own"
            )
    click.echo(f"removed {name} from {server.address}")


@click.command(epilog=examples("nameserver ping --nameserver 192.168.1.20:9090"))
@reaching
def ping(reach: Reach) -> None:
    """Find the name server, and say where it is, how it was found, and how quick it answers."""
    with reach.connect() as server:
        before = time.perf_counter()
        server.ping(timeout_s=reach.timeout_s)
        spent_ms = (time.perf_counter() - before) * 1000
        cluster = cluster_in(server.lookup(NAME_SERVER).metadata)  # each knows itself
        of = f" of the cluster {cluster!r}" if cluster else ""
        click.echo(
            f"name server at {server.address}{of} answers in {spent_ms:.1f} ms "
            f"(address: {server.how})"
        )


def _print_one(where: str, record: Record, as_json: bool) -> None:
    shape = as_dict(where, record, time.time())
    click.echo(json.dumps(shape) if as_json else str(record.uri))
