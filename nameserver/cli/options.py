"""What the commands have in common: which name server is meant, and how it is spoken to."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from nameserver.client import NameServerClient
from nameserver.clusters import chosen_cluster
from nameserver.locate import locate
from nameserver.search import known_address
from remoteobj import Identity
from remoteobj.cli import IdentityFiles, identity_option, insecure_option, read_identity

__all__ = [
    "Reach",
    "cluster_option",
    "debug_option",
    "examples",
    "json_option",
    "prefix_option",
    "reaching",
    "secured",
    "where_options",
]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_PREFIX = re.compile(r"[A-Za-z0-9_.-]*")

debug_option = click.option("--debug", is_flag=True, help="Show the traceback of an error.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@dataclass(frozen=True, slots=True)
class Reach:
    """Which name server is meant, and how it is spoken to."""

    address: str | None
    cluster: str | None
    timeout_s: float
    identity: Identity | None
    insecure: bool

    @property
    def is_said(self) -> bool:
        """Whether somebody has said which one, so that it is an error if it is not there."""
        return known_address(self.address)[0] is not None or self.cluster is not None

    def connect(self) -> NameServerClient:
        """Find it; raises as ``locate``."""
        return locate(
            self.address,
            cluster=self.cluster,
            timeout_s=self.timeout_s,
            identity=self.identity,
            insecure=self.insecure,
        )


def cluster_option(text: str) -> Callable[[_Command], _Command]:
    """Make what adds ``--cluster`` to a command, with *text* as its help."""
    return click.option("--cluster", metavar="NAME", help=f"{text} Default: REMOTEOBJ_CLUSTER.")


def examples(*lines: str) -> str:
    """Return what stands below the help of a command."""
    title = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(("\b", title, *(f"  {line}" for line in lines)))


def secured(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how TCP is spoken; the command gets what they come to."""

    @identity_option
    @insecure_option()
    @functools.wraps(command)
    def secured(*, identity: IdentityFiles | None, insecure: bool, **given: Any) -> Any:
        # A command that names a cluster has chosen by that which of several identities is used.
        who, insecure = read_identity(identity, insecure, given.get("cluster"))
        return command(identity=who, insecure=insecure, **given)

    return secured


def where_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which name server is meant."""
    for option in (
        click.option("--timeout", "timeout_s", type=float, default=2.0, show_default=True,
                     callback=_check_timeout, metavar="SECONDS",
                     help="Longest time to look for a name server."),
        cluster_option("Of this cluster, where the network has several."),
        click.option("--nameserver", "address", metavar="HOST:PORT",
                     help="Where it is; else REMOTEOBJ_NAMESERVER, else zeroconf."),
    ):  # fmt: skip
        command = option(command)
    return command


def reaching(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add all options that it takes to reach a name server; the command gets a ``Reach``."""

    @where_options
    @secured
    @debug_option
    @functools.wraps(command)
    def reaching(
        *,
        address: str | None,
        cluster: str | None,
        timeout_s: float,
        identity: Identity | None,
        insecure: bool,
        debug: bool,
        **given: Any,
    ) -> Any:
        reach = Reach(address, chosen_cluster(cluster), timeout_s, identity, insecure)
        return command(reach=reach, **given)

    return reaching


def _check_timeout(_context: click.Context, _option: click.Parameter, value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise click.BadParameter(f"{value:g} is no time to wait: give seconds, such as 2 or 0.5")
    return value


def _check_prefix(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if not _PREFIX.fullmatch(value):
        raise click.BadParameter(
            f"no name begins with {value!r}: names have letters, digits, '-', '_' and dots"
        )
    return value


prefix_option = click.option(
    "--prefix", default="", callback=_check_prefix, help="Only names that begin so."
)
