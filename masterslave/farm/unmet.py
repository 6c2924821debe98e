"""What waiting tasks demand and no slave that is here has, in words."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from masterslave.master.decisions import Decisions
from masterslave.master.seats import bare_name
from masterslave.offers import in_words
from masterslave.protocol.joining import CODE, TASK_TAG, on_tag
from masterslave.scheduler import Demand
from masterslave.unoffered import why_not_offered

__all__ = ["why_not_here", "why_unmet", "with_what_is_missing"]

_ON_TAG = on_tag("")
_MOST = 3


def why_not_here(demand: Demand, decisions: Decisions, label: str) -> str:
    """Return what tasks of a demand wait for that is not here, in words that go on after "waits";
    empty where a slave is here that could run them, or none is that anybody would miss.
    """
    names = _names_not_offered(decisions, demand.tags)
    if names:
        return why_not_offered(names, _offered(decisions))
    if demand.slaves or not decisions.table.seats:
        return ""
    return "; ".join(why_unmet(demand, decisions))


def with_what_is_missing(words: str, decisions: Decisions, label: str) -> str:
    """Return why tasks wait, with what of them no slave could run.

    Args:
        words: What is said of the others.
    """
    names: set[str] = set()
    reasons: dict[str, None] = {}
    missing = 0
    for demand in decisions.scheduler.state.roster.demands:
        if demand.waiting and (why := why_not_here(demand, decisions, label)):
            missing += demand.waiting
            not_offered = _names_not_offered(decisions, demand.tags)
            names.update(not_offered)
            if not not_offered:
                reasons[why] = None
    if names:
        reasons[why_not_offered(sorted(names), _offered(decisions))] = None
    if not reasons:
        return words
    said = "; ".join([*list(reasons)[:_MOST], *["..."] * (len(reasons) > _MOST)])
    is_all = missing == decisions.scheduler.state.waiting
    if is_all and "refused" not in words:
        return f"{missing} task{'s' * (missing != 1)} wait{'s' * (missing == 1)}: {said}"
    return f"{words}; {said}" if words else said


def why_unmet(demand: Demand, decisions: Decisions) -> Iterator[str]:
    """Go through what a demand wants that no slave has, or none has together."""
    slaves = decisions.scheduler.state.slaves.values()
    is_unknown = True
    for tag in sorted(demand.tags):
        if not any(tag in slave.tags for slave in slaves):
            is_unknown = False
            yield _why_no_tag(tag, decisions)
    offers = ", ".join(
        f"{in_words(seat.introduction.offers)} on {seat.introduction.name}"
        for seat in decisions.table.seats.values()
        if seat.introduction.offers
    )
    for name, amount in demand.needs:
        if not any(slave.offers_all(((name, amount),)) for slave in slaves):
            is_unknown = False
            here = f"offers that are here: {offers}" if offers else "none offers anything"
            yield (
                f"no slave here offers {name}={amount:g} ({here}); start one with --offer "
                f"{name}={amount:g}"
            )
    for slave in slaves:
        if demand.function in slave.unable and demand.could_be_met_by(slave):
            is_unknown = False
            yield f"slave {bare_name(slave.name)} cannot run it: {slave.unable[demand.function]}"
    if is_unknown:
        wanted = [f"{name}={amount:g}" for name, amount in demand.needs]
        wanted += [tag for tag in sorted(demand.tags) if tag != CODE]
        yield f"no slave here has all of it: {', '.join(wanted)}"


def _why_no_tag(tag: str, decisions: Decisions) -> str:
    if tag.startswith(_ON_TAG):
        here = sorted(
            f"{seat.introduction.name} on {seat.introduction.host}"
            for seat in decisions.table.seats.values()
        )
        name = tag.removeprefix(_ON_TAG)
        return f"no slave or host here is called {name!r} (here are: {', '.join(here[:9])})"
    version = ".".join(map(str, sys.version_info[:2]))
    introduced = [seat.introduction for seat in decisions.table.seats.values()]
    closed = sorted(each.name for each in introduced if each.only_named)
    if not closed:
        return f"no slave here runs Python {version}, as the script does"
    most = ", ".join([*closed[:_MOST], *["..."] * (len(closed) > _MOST)])
    others = f", and none else runs Python {version}" if len(closed) < len(introduced) else ""
    return (
        f"no slave here takes functions: named tasks only ({most}: its owner has started it with "
        f"--only){others}"
    )


def _names_not_offered(decisions: Decisions, tags: Iterable[str]) -> tuple[str, ...]:
    """Return the named tasks among these tags that no slave offers."""
    wanted = {tag.removeprefix(TASK_TAG) for tag in tags if tag.startswith(TASK_TAG)}
    return tuple(sorted(wanted - _offered(decisions))) if wanted else ()


def _offered(decisions: Decisions) -> set[str]:
    return {name for seat in decisions.table.seats.values() for name in seat.introduction.tasks}
