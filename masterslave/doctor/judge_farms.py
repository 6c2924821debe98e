"""What is wrong with farms, and on the way to them (pure)."""

from __future__ import annotations

from collections.abc import Iterator

from masterslave.doctor.facts import Facts, FarmSeen
from nameserver.doctor.facts import Missing
from nameserver.doctor.verdict import Finding, note, ok, wrong

__all__ = ["farms", "name_of_farm", "name_server"]


def name_server(facts: Facts) -> Iterator[Finding]:
    """Look at the name server, if one was looked for."""
    server = facts.server
    if server is None:
        yield ok("name server", "none was looked for: farms of this machine need none")
    elif isinstance(server, Missing):
        yield wrong("name server", server.said, "nameserver doctor")
    else:
        there = [farm for farm in facts.farms if farm.server]
        yield ok(
            "name server",
            f"{server.address} answers ({server.how}), and tells of {_count(len(there), 'farm')} "
            "that this machine's directory does not",
        )


def farms(facts: Facts) -> Iterator[Finding]:
    """Look at each farm that is known."""
    if not facts.farms:
        yield note(
            "farms",
            f"no farm of {facts.user or 'this user'} is running; slaves may be started before",
            "python SCRIPT   # with 'with Farm(\"label\") as farm:' in it",
        )
    for farm in facts.farms:
        if not farm.problem:
            state = farm.waits or "works, or has nothing to do"
            say = ok if not farm.waits else note
            yield say("farms", f"{name_of_farm(farm)} answers: {state}")
        elif farm.is_stopped:
            yield wrong(
                "farms",
                f"{name_of_farm(farm)} does not answer: its script was stopped (Ctrl-Z?)",
                f"kill -CONT {farm.pid}",
            )
        elif farm.server:
            yield wrong(
                "farms", f"{name_of_farm(farm)} cannot be reached: {farm.problem}", _reach(farm)
            )
        else:
            yield wrong(
                "farms",
                f"{name_of_farm(farm)} does not answer: {farm.problem}",
                f"kill {farm.pid}   # its script hangs; or wait, if it is very busy",
            )


def _reach(farm: FarmSeen) -> str:
    host, _, port = farm.address.rpartition(":")
    return (
        f"nc -vz {host} {port}   # on that machine: let the port in, or give "
        "Farm(host=...) the address that others reach"
    )


def name_of_farm(farm: FarmSeen) -> str:
    """Return which farm is meant, for people."""
    return f"farm {farm.label!r} of {farm.script} (pid {farm.pid} on {farm.host})"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"
