"""Named tasks that wait and that no slave offers, in words."""

from __future__ import annotations

from collections.abc import Iterable

from masterslave.master.decisions import Decisions
from masterslave.protocol import TASK_TAG

__all__ = ["names_not_offered", "why_not_offered", "with_what_is_missing"]


def names_not_offered(decisions: Decisions, tags: Iterable[str]) -> tuple[str, ...]:
    """Return the named tasks among these tags that no slave offers."""
    wanted = {tag.removeprefix(TASK_TAG) for tag in tags if tag.startswith(TASK_TAG)}
    return tuple(sorted(wanted - _offered(decisions))) if wanted else ()


def why_not_offered(names: tuple[str, ...], decisions: Decisions, label: str) -> str:
    """Return that no slave offers these tasks; and what is offered instead, or what to do."""
    said = f"no slave offers task{'s' * (len(names) != 1)} {_listed(names)}"
    offered = _offered(decisions)
    if offered:
        return f"{said}; those that are here offer {_listed(sorted(offered))}"
    return f"{said}; start one with 'masterslave slave {label} --handlers MODULE:CLASS'"


def with_what_is_missing(words: str, decisions: Decisions, label: str) -> str:
    """Return why tasks wait, with the named ones for which there is no slave.

    Args:
        words: What is said of the others.
    """
    names, missing = _missing(decisions)
    if not names:
        return words
    why = why_not_offered(names, decisions, label)
    is_all = missing == decisions.scheduler.state.waiting
    if is_all and "refused" not in words:
        return f"{missing} task{'s' * (missing != 1)} wait{'s' * (missing == 1)}: {why}"
    return f"{words}; {why}"


def _missing(decisions: Decisions) -> tuple[tuple[str, ...], int]:
    """Return the names of waiting tasks that no slave offers, and how many of these wait."""
    names: set[str] = set()
    waiting = 0
    for demand in decisions.scheduler.state.roster.demands:
        if demand.waiting and (found := names_not_offered(decisions, demand.tags)):
            names.update(found)
            waiting += demand.waiting
    return tuple(sorted(names)), waiting


def _offered(decisions: Decisions) -> set[str]:
    return {name for seat in decisions.seats.values() for name in seat.introduction.tasks}


def _listed(names: Iterable[str]) -> str:
    quoted = list(map(repr, names))
    if len(quoted) > 10:
        quoted = [*quoted[:10], "..."]
    return ", ".join(quoted)
