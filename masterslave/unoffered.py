"""What is said of named tasks that nobody offers: by the farm while they wait, and by a slot."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["why_not_offered"]

_MOST = 10


def why_not_offered(names: Iterable[str], offered: Iterable[str]) -> str:
    """Return that no slave offers these tasks; and what is offered instead, or what to do."""
    quoted = _listed(names)
    said = f"no slave offers task{'s' * (',' in quoted)} {quoted}"
    instead = _listed(sorted(offered))
    if instead:
        return f"{said}; those that are here offer {instead}"
    return (
        f"{said}; start one with 'masterslave slave --handlers MODULE:CLASS', or local ones with "
        "Farm(handlers=...)"
    )


def _listed(names: Iterable[str]) -> str:
    quoted = list(map(repr, names))
    if len(quoted) > _MOST:
        quoted = [*quoted[:_MOST], "..."]
    return ", ".join(quoted)
