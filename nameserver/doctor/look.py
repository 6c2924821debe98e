"""Observe this machine and its network, and judge nothing."""

from __future__ import annotations

import platform
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from nameserver.doctor.facts import Card, Credentials, Facts, Found, Missing, Visit
from nameserver.doctor.see_machine import (
    see_cards,
    see_firewall,
    see_host,
    see_packages,
    see_system,
)
from nameserver.doctor.see_multicast import hear_on_all
from nameserver.doctor.see_server import missing_of, see_found, visit
from nameserver.locate import locate
from remoteobj import Identity, InsecureWarning, RemoteObjError

__all__ = ["Wish", "look", "see_credentials"]


@dataclass(frozen=True, slots=True)
class Wish:
    """Which name server is meant, and how it is spoken to; as in ``locate``."""

    address: str | None = None
    cluster: str | None = None
    timeout_s: float = 2.0
    identity: Identity | None = None
    insecure: bool = False
    identity_problem: str = ""
    """Why there is no identity, although there was to be one."""


def look(wish: Wish) -> Facts:
    """Return all that can be observed.

    Blocks: on the network, about a second, and up to seven where something does not answer.
    """
    cards, bad_choice = see_cards()
    with ThreadPoolExecutor(2, thread_name_prefix="doctor") as threads:
        hearings = threads.submit(hear_on_all, [card for card in cards if _is_to_hear(card)])
        host = threads.submit(see_host)
        server, seen = _see_server(wish, cards)
        host_name, host_addresses = host.result()
        return Facts(
            python=platform.python_version(),
            packages=see_packages(),
            now=time.time(),
            system=see_system(),
            firewall=see_firewall(),
            host_name=host_name,
            host_addresses=host_addresses,
            cards=cards,
            bad_choice=bad_choice,
            hearings=hearings.result(),
            credentials=see_credentials(wish),
            server=server,
            visit=seen,
        )


def _is_to_hear(card: Card) -> bool:
    is_right = card.kind in ("usable", "loopback") and ":" not in card.address
    return is_right and card.is_chosen and card.is_on


def see_credentials(wish: Wish) -> Credentials:
    """Return how TCP is spoken, as far as that is known here."""
    if wish.identity is None:
        return Credentials(wish.insecure, problem=wish.identity_problem)
    left = wish.identity.expires - datetime.now(UTC)
    cluster = wish.identity.cluster
    return Credentials(
        subject=wish.identity.subject,
        days_left=left.total_seconds() / 86_400,
        has_files=cluster is None,
        cluster=cluster or "",
        role=wish.identity.claims.role if cluster else "",
    )


def _see_server(wish: Wish, cards: tuple[Card, ...]) -> tuple[Found | Missing, Visit | None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InsecureWarning)  # that it is plain TCP is a finding
            client = locate(
                wish.address,
                cluster=wish.cluster,
                timeout_s=wish.timeout_s,
                identity=wish.identity,
                insecure=wish.insecure,
            )
        with client:
            found = see_found(client)
            return found, None if found.is_stock else visit(client, cards, wish.identity)
    except RemoteObjError as error:
        return missing_of(error, wish.address), None
