"""``nameserver use`` and ``leave``: which clusters this account is in."""

from __future__ import annotations

import contextlib
import sys

import click

from nameserver.cli.options import cluster_option, debug_option, examples
from remoteobj import RemoteObjError
from remoteobj.errors import IdentityUnusable
from remoteobj.identity.clusters import chosen_cluster
from remoteobj.identity.places import cluster_in_use, stored_clusters, use_cluster
from remoteobj.identity.store import Store

__all__ = ["leave", "use"]


def complete_clusters(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[str]:
    """Return the clusters of this account."""
    with contextlib.suppress(RemoteObjError):
        return [name for name in stored_clusters() if name.startswith(typed)]
    return []


@click.command(epilog=examples("nameserver use lab", "nameserver use        # lists them"))
@click.argument("name", required=False, shell_complete=complete_clusters)
@debug_option
def use(name: str | None, debug: bool) -> None:
    """Choose the cluster NAME, of several that this account is in; without NAME, list them.

    REMOTEOBJ_CLUSTER and --cluster say otherwise for one shell or one command.
    """
    if name is not None:
        use_cluster(name)
        click.echo(f"this account uses {name!r} where no other cluster is named")
        return
    known = stored_clusters()
    in_use = ""
    with contextlib.suppress(IdentityUnusable):
        in_use = cluster_in_use()
    for each in known:
        click.echo(f"{each}\tin use" if each == in_use else each)
    if not known:
        click.echo("this account is in no cluster", err=True)


@click.command(
    epilog=examples(
        "nameserver leave",
        "nameserver leave --cluster lab --with-authority      # ends that cluster",
    )
)
@cluster_option("Which one, where this account is in several.")
@click.option(
    "--with-authority",
    is_flag=True,
    help="Also where the cluster's authority is here: nobody can join or be renewed any more.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@debug_option
def leave(cluster: str | None, with_authority: bool, yes: bool, debug: bool) -> None:
    """Delete what this account has of a cluster: it has to be invited to come back.

    What runs meanwhile goes on until it ends; so end it, too. The cluster goes on listing this
    machine until an operator says 'nameserver revoke', or its certificate has expired.
    """
    store = _store(cluster)
    if with_authority and store.has_authority and not yes and sys.stdin.isatty():
        click.confirm(
            f"delete the authority of {store.cluster!r}, which nobody can use without a backup?",
            abort=True,
            err=True,
        )
    store.leave(with_authority=with_authority)
    click.echo(f"this account has left {store.cluster!r}")


def _store(cluster: str | None) -> Store:
    """Return which cluster is meant, also one that is stored in part."""
    named = chosen_cluster(cluster)
    if named is not None:
        store = Store.named(named)
        if store.ca_path.exists():
            return store
    return Store.of(named)
