"""What a child reports: noted with the farms that have given it the calls, many at a time."""

from __future__ import annotations

from collections.abc import Mapping

from masterslave.protocol.outcomes import GOES_ON, Outcome
from masterslave.slave.children import Told
from masterslave.slave.load import Load, Pace
from masterslave.slave.shares import Shares
from masterslave.slave.work import FarmWork

__all__ = ["note_report"]


def note_report(
    load: Load, told: Told, pace: Pace, shares: Shares[FarmWork]
) -> Mapping[FarmWork, float]:
    """Note what became of calls of a child with this load.

    Returns:
        Of which farms they were, and how many seconds those that have ended have taken.
    """
    if len(told.numbers) == 1 and told.outcomes[0].kind not in GOES_ON:
        return _note_one(load, told.numbers[0], told.outcomes[0], pace, shares)
    works: dict[FarmWork, float] = {}
    pending: list[Outcome] = []
    work: FarmWork | None = None
    function, seconds, tasks, count, expected_s = b"", 0.0, 0, 0, 0.0

    def book() -> None:
        if work is None:
            return
        if count:
            shares.take(work, expected_s)
            pace.note(function, seconds, tasks)
        work.hear(pending, count)
        works[work] = works.get(work, 0.0) + seconds

    for number, outcome in zip(told.numbers, told.outcomes, strict=True):
        goes_on = outcome.kind in GOES_ON
        job = load.jobs.get(number) if goes_on else load.drop(number)
        if job is None:
            continue
        if job.work is not work or job.task.function != function:
            book()
            work, function = job.work, job.task.function
            pending, seconds, tasks, count, expected_s = [], 0.0, 0, 0, 0.0
        if not goes_on:
            seconds += outcome.seconds
            tasks += outcome.count
            count += 1
            expected_s += job.expected_s
        if not job.is_unwanted:
            pending.append(outcome)
    book()
    return works


def _note_one(
    load: Load, number: int, outcome: Outcome, pace: Pace, shares: Shares[FarmWork]
) -> Mapping[FarmWork, float]:
    """The same for a call that has ended alone, as the only one often does."""
    job = load.drop(number)
    if job is None:
        return {}
    work = job.work
    shares.take(work, job.expected_s)
    pace.note(job.task.function, outcome.seconds, outcome.count)
    work.hear([] if job.is_unwanted else [outcome], 1)
    return {work: outcome.seconds}
