"""From what was observed to what is wrong: ``judge`` (pure)."""

from __future__ import annotations

from nameserver.doctor import judge_machine, judge_server
from nameserver.doctor.facts import Facts
from nameserver.doctor.verdict import Finding

__all__ = ["judge"]

_CHECKS = (
    judge_machine.versions,
    judge_machine.interfaces,
    judge_machine.address,
    judge_machine.multicast,
    judge_server.identity,
    judge_server.name_server,
    judge_server.clock,
    judge_server.objects,
)


def judge(facts: Facts) -> tuple[Finding, ...]:
    """Return what there is to say, from the machine outwards; each thing wrong can be mended."""
    return tuple(finding for check in _CHECKS for finding in check(facts))
