"""Who is let in at the reception, and what is said to who is not (pure)."""

from __future__ import annotations

import sys

from msgspec import structs

from masterslave.protocol.attaching import ATTACHING, Admission, Greeting

__all__ = ["admission_of", "why_another", "why_not", "why_other"]


def why_other(greeting: Greeting, mine: Admission) -> str:
    """Return why this is not the master that a script looks for; empty if it is, or may be.

    Args:
        mine: What this one tells those that it lets in.
    """
    if greeting.farm_id and greeting.farm_id != mine.farm_id:
        return f"this is another farm {mine.label!r}, with another journal: attach to the first"
    if greeting.epoch > mine.epoch:
        return f"a later master has taken farm {mine.label!r} over: attach to that"
    return ""


def why_not(greeting: Greeting) -> str:
    """Return why this script cannot be let in by a master of this release; empty if it can."""
    if greeting.version != ATTACHING:
        return (
            f"the script speaks version {greeting.version} of what scripts and farms say, and "
            f"this farm {ATTACHING}: install the same release of remoteobj-farm on both"
        )
    if greeting.python != sys.version_info[:2]:
        theirs, ours = (
            ".".join(map(str, each)) for each in (greeting.python, sys.version_info[:2])
        )
        return (
            f"the script runs Python {theirs}, and this farm {ours}: functions do not travel "
            f"between minor versions; start one of them with the other's"
        )
    return ""


def why_another(ticket: str) -> str:
    """Return what is said to who takes the tasks of another visitor for its own."""
    return (
        f"somebody else has come with ticket {ticket} since, and has submitted tasks; those that "
        "this script has submitted and that were not taken before cannot be taken any more: attach "
        "with the ticket anew for all that there is, and submit again what is not there"
    )


def admission_of(mine: Admission, ticket: str, rows: list[tuple[int, int, str]]) -> Admission:
    """Return what a script is told that is let in.

    Args:
        rows: Of its tasks: first, count, and name of the function.
    """
    taken = sum(count for _, count, _ in rows)
    return structs.replace(mine, ticket=ticket, taken=taken, tasks=tuple(rows))
