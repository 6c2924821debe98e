"""``masterslave slave --join``: this account joins a cluster first, unless it is in it already."""

from __future__ import annotations

import os
from collections.abc import Callable

import click

from nameserver.cli.joining import welcome
from nameserver.cli.secrets_in import (
    FROM_INPUT,
    ask_token,
    may_ask,
    refuse_token,
    take_from_environment,
)
from nameserver.errors import BadToken
from remoteobj.errors import BadInput
from remoteobj.identity.clusters import chosen_cluster
from remoteobj.identity.places import stored_clusters

__all__ = ["join_first"]


def join_first(
    file: str, cluster: str | None, report: Callable[[str], None], *, is_otherwise: bool
) -> str | None:
    """Join, if that is asked for and due; returns which cluster is meant then.

    What the environment has of a token is taken out of it, so that no task sees it.

    Args:
        file: What ``--join`` was given; empty: nothing.
        cluster: What ``--cluster`` says.
        report: Told what has become of this machine.
        is_otherwise: Whether TCP is not spoken as a machine of the cluster.
    Raises:
        BadToken, BadInput, JoinRefused, IdentityUnusable: It cannot join; the message says why.
    """
    in_environment = take_from_environment()
    refuse_token(file)
    if is_otherwise:
        raise click.UsageError(
            "--join makes this machine one of a cluster: leave --local, --identity and --insecure "
            "out"
        )
    if file and file != FROM_INPUT and not os.path.exists(file):
        raise BadInput(
            f"--join {file}: there is no such file with a token (a label stands before --join)"
        )
    given, stored = file or None, _meant(cluster)
    if stored and may_ask(given, in_environment):
        report(f"is in {' and '.join(map(repr, stored))} already; 'nameserver join' joins another")
        return cluster
    from nameserver.pairing.joining import cluster_of, join_by_token  # imports cryptography

    try:
        token = ask_token(given, in_environment)
    except BadToken as error:
        if stored and error.is_missing:
            return cluster
        raise
    known = cluster_of(token)
    if known is not None:
        return known
    newcomer = join_by_token(token, cluster=cluster)
    report(welcome(newcomer))
    return newcomer.identity.cluster


def _meant(cluster: str | None) -> list[str]:
    """Return the clusters of this account that can be meant."""
    named, stored = chosen_cluster(cluster), stored_clusters()
    return stored if named is None else [each for each in stored if each == named]
