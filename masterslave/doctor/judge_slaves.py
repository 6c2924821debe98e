"""What is wrong with the slaves of this machine: why one serves nobody (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches

from masterslave.doctor.facts import ANY_LABEL, Facts, FarmSeen, SlaveSeen
from masterslave.doctor.judge_farms import name_of_farm
from nameserver.doctor.verdict import Finding, note, ok, wrong

__all__ = ["slaves"]


def slaves(facts: Facts) -> Iterator[Finding]:
    """Look at each slave of this machine, and whether it could serve a farm that is there."""
    if facts.slaves is None:
        yield note("slaves", "this system does not show which processes are slaves")
    elif not facts.slaves:
        yield note(
            "slaves",
            "no slave runs on this machine; a farm that nobody joins starts some of its own",
            "masterslave slave",
        )
    for slave in facts.slaves or ():
        served = [farm for farm in facts.farms if slave.pid in farm.slave_pids]
        if slave.is_stopped and not slave.user and not slave.folder:
            yield _stopped(slave, served)
        elif served:
            yield ok("slaves", f"{_who(slave)} serves {_all(served)}")
            if slave.refused:
                yield _does_not_allow(slave)
        elif slave.refused:
            yield _does_not_allow(slave)
        else:
            found = (reason(slave, facts) for reason in _REASONS)
            yield next((each for each in found if each is not None), _waits(slave))


def _stopped(slave: SlaveSeen, served: list[FarmSeen]) -> Finding:
    of = f", and was serving {_all(served)}" if served else ""
    return wrong(
        "slaves", f"{_who(slave)} is stopped by a signal (Ctrl-Z?){of}", f"kill -CONT {slave.pid}"
    )


def _does_not_allow(slave: SlaveSeen) -> Finding:
    return note(
        "slaves",
        f"{_who(slave)} does not serve {', '.join(slave.refused)}: it was started with --allow "
        f"{' --allow '.join(slave.allow)}",
        f"{_start(slave)} --allow NAME   # the machine's name or node id, or local, for each",
    )


def _is_of_another_user(slave: SlaveSeen, facts: Facts) -> Finding | None:
    if not slave.user:
        return None
    who = facts.user or "this user"
    return _may_matter(facts)(
        "slaves",
        f"{_who(slave)} is {slave.user}'s, and sees no farm of {who}: slaves without an identity "
        "serve their own user",
        f"{_start(slave)}   # as {who}",
    )


def _looks_elsewhere(slave: SlaveSeen, facts: Facts) -> Finding | None:
    if not slave.folder:
        return None
    base, _, name = facts.folder.path.rpartition("/")
    here = f"XDG_RUNTIME_DIR={base}" if name == "remoteobj" else "env -u XDG_RUNTIME_DIR"
    return _may_matter(facts)(
        "slaves",
        f"{_who(slave)} looks for farms in {slave.folder}, this user's are in "
        f"{facts.folder.path}: they were started with different XDG_RUNTIME_DIR",
        f"{here} {_start(slave)}",
    )


def _has_no_such_farm(slave: SlaveSeen, facts: Facts) -> Finding | None:
    labels = sorted({farm.label for farm in facts.farms})
    if not labels or _suited(slave, facts):
        return None
    like = [
        each for label in slave.label.split(",") for each in get_close_matches(label, labels, 1)
    ]
    are = "is" if len(labels) == 1 else "are"
    return (wrong if like else note)(
        "slaves",
        f"{_who(slave)} waits for a farm {slave.label!r}: there {are} only "
        f"{', '.join(map(repr, labels))}",
        f"masterslave slave {like[0] if like else labels[0]}",
    )


def _has_another_python(slave: SlaveSeen, facts: Facts) -> Finding | None:
    for farm in _suited(slave, facts):
        if slave.python and farm.python and farm.python != slave.python:
            return wrong(
                "slaves",
                f"{_who(slave)} runs Python {slave.python}, and {name_of_farm(farm)} Python "
                f"{farm.python}: functions do not travel between minor versions",
                f"python{farm.python} -m {_start(slave)}",
            )
    return None


def _is_not_wanted(slave: SlaveSeen, facts: Facts) -> Finding | None:
    suited = _suited(slave, facts)
    if not suited:
        return None
    if all(farm.problem for farm in suited):
        return note("slaves", f"{_who(slave)} waits: no farm that it may serve answers")
    return note(
        "slaves",
        f"{_who(slave)} serves none of {_all(suited)}: it may have come just now, or be refused",
        f"masterslave show {suited[0].label}   # says whom it has refused, and why",
    )


_REASONS = (
    _is_of_another_user,
    _looks_elsewhere,
    _has_no_such_farm,
    _has_another_python,
    _is_not_wanted,
)


def _waits(slave: SlaveSeen) -> Finding:
    return ok("slaves", f"{_who(slave)} waits for a farm")


def _may_matter(facts: Facts) -> Callable[[str, str, str], Finding]:
    """Other slaves may be meant for others; but where a farm of ours waits for one, it is wrong."""
    waits = (farm.waits and not farm.slave_pids and not farm.server for farm in facts.farms)
    return wrong if any(waits) else note


def _suited(slave: SlaveSeen, facts: Facts) -> list[FarmSeen]:
    labels = slave.label.split(",")
    return [farm for farm in facts.farms if ANY_LABEL in labels or farm.label in labels]


def _start(slave: SlaveSeen) -> str:
    labels = slave.label.split(",")
    more = [f" --label {label}" for label in labels[1:]]
    return "".join(
        ("masterslave slave", "" if slave.label == ANY_LABEL else f" {labels[0]}", *more)
    )


def _who(slave: SlaveSeen) -> str:
    label = "any farm" if slave.label == ANY_LABEL else repr(slave.label)
    return f"slave {slave.pid} (for {label})"


def _all(farms: list[FarmSeen]) -> str:
    return ", ".join(map(name_of_farm, farms))
