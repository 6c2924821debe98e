"""From what was observed to what is wrong: ``judge`` (pure)."""

from __future__ import annotations

from masterslave.doctor import judge_farms, judge_machine, judge_slaves
from masterslave.doctor.facts import Facts
from nameserver.doctor.verdict import Finding

__all__ = ["judge"]

_CHECKS = (
    judge_machine.versions,
    judge_machine.clock,
    judge_machine.directory,
    judge_machine.limits,
    judge_machine.identity,
    judge_farms.name_server,
    judge_farms.farms,
    judge_slaves.slaves,
)


def judge(facts: Facts) -> tuple[Finding, ...]:
    """Return what there is to say, from the machine outwards; each thing wrong can be mended."""
    return tuple(finding for check in _CHECKS for finding in check(facts))
