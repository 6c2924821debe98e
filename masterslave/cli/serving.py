"""What ``masterslave master`` and ``masterslave standby`` share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from masterslave.service.service import Service
from nameserver import NotLeader
from remoteobj.cli import identity_option, insecure_option

__all__ = ["log_to_stderr", "say_if_lost", "serving_options"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def serving_options(
    *, journal: str, local_slaves: str, host: str, nameserver: str, output: str
) -> Callable[[_Command], _Command]:
    """Make what adds to a command: the farm's label, its journal, slaves here, and the network.

    Args:
        journal, local_slaves, host, nameserver, output: What these options do, as their help
            begins.
    """
    options: list[Callable[[Any], Any]] = [
        click.argument("label"),
        click.option(
            "--journal",
            required=True,
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help=f"{journal}; it is made where there is none.",
        ),
        click.option(
            "--local-slaves",
            type=click.IntRange(0, 4096),
            default=0,
            metavar="N",
            help=f"{local_slaves}; default: none.",
        ),
        click.option("--host", help=f"{host}; default: at all that it has."),
        click.option(
            "--nameserver",
            metavar="HOST:PORT",
            help=f"{nameserver}; default: REMOTEOBJ_NAMESERVER, else those that zeroconf finds, "
            "where this machine was paired.",
        ),
        click.option(
            "--cluster", metavar="NAME", help="Of this cluster. Default: REMOTEOBJ_CLUSTER."
        ),
        click.option(
            "--output",
            type=click.Choice(["show", "log", "none"]),
            default="none",
            help=f"{output}: shown here, logged here, or left at the slaves (default).",
        ),
        identity_option,
        insecure_option("Use name servers on plain TCP."),
        click.option("--debug", is_flag=True, help="Show the traceback of an error."),
    ]

    def add(command: _Command) -> _Command:
        for option in reversed(options):  # help shows them in their order
            command = option(command)
        return command

    return add


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
