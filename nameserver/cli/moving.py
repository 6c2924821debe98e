"""``nameserver backup`` and ``restore``: the cluster's authority in a file, under a passphrase."""

from __future__ import annotations

import os
import socket
import time

import click

from nameserver.cli.options import cluster_option, debug_option, examples
from nameserver.cli.secrets_in import read_passphrase
from remoteobj.errors import BadInput
from remoteobj.identity.clusters import chosen_cluster
from remoteobj.identity.store import Store

__all__ = ["backup", "restore"]

_MOST_BYTES = 64 * 1024 * 1024

_passphrase = click.option(
    "--passphrase",
    "passphrase_file",
    type=click.Path(allow_dash=True),
    metavar="FILE",
    help="Read it from the first line of this file; '-': standard input. A terminal is asked.",
)


@click.command(
    epilog=examples(
        "nameserver backup lab.backup",
        "nameserver backup lab.backup --passphrase /run/secrets/lab",
    )
)
@click.argument("file", type=click.Path())
@cluster_option("Which one, where this account is in several.")
@_passphrase
@debug_option
def backup(file: str, cluster: str | None, passphrase_file: str | None, debug: bool) -> None:
    """Write the authority's key, members and revocations to FILE, encrypted, with mode 0600.

    On the machine that has the authority. FILE may not be there yet. Make another one now and then:
    who was revoked after the last one has to be revoked again.
    """
    from remoteobj.identity.moving import back_up  # imports cryptography

    store = Store.of(chosen_cluster(cluster))
    if os.path.lexists(file):
        raise BadInput(f"{file} is there already, and is not overwritten: give another name")
    secret = read_passphrase(passphrase_file, twice=True)
    _write(file, back_up(store, secret))
    click.echo(f"wrote the authority of {store.cluster!r} to {file}; keep its passphrase elsewhere")


@click.command(
    epilog=examples(
        "nameserver restore lab.backup",
        "nameserver restore lab.backup --cluster lab-2      # what it is called here",
    )
)
@click.argument("file", type=click.Path())
@cluster_option("What the cluster is called here.")
@_passphrase
@debug_option
def restore(file: str, cluster: str | None, passphrase_file: str | None, debug: bool) -> None:
    """Bring the authority back from FILE, on this account, which becomes an operator.

    Nothing is overwritten. There may be one authority for a cluster: where the other one still is,
    'nameserver leave --with-authority' there first. Then 'nameserver run' here.
    """
    from remoteobj.identity import moving  # imports cryptography

    data = _read(file)
    secret = read_passphrase(passphrase_file, twice=False)
    store = moving.restore(
        data,
        secret,
        name=socket.gethostname().partition(".")[0],
        now=time.time(),
        cluster=chosen_cluster(cluster),
    )
    click.echo(
        f"the authority of {store.cluster!r} is on this account: 'nameserver run' starts its name "
        "server"
    )


def _read(file: str) -> bytes:
    try:
        with open(file, "rb") as opened:
            return opened.read(_MOST_BYTES)
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from error


def _write(file: str, data: bytes) -> None:
    """Write a file that nobody else reads, whole or not at all."""
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BadInput(f"cannot write {file}: {error.strerror}") from error
    try:
        with open(fd, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(fd)
    except BaseException:
        os.unlink(file)
        raise
