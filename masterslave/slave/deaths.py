"""What becomes of the calls of a child that has died."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from masterslave.protocol.outcomes import PostMortem
from masterslave.slave.children import Child, raised_for
from masterslave.slave.work import FarmWork, Job

__all__ = ["after_death"]

Put = Callable[[FarmWork, list[Job]], None]


def after_death(child: Child, post_mortem: PostMortem) -> Iterator[tuple[list[Job], Put]]:
    """Take from a child what it held; yield jobs, and where their farms are to put them.

    To blame is what it ran, by its mark. What it had not started is not. What it had ended without
    having told so may have left something behind that was its end: that is remembered. But whom we
    have killed for one call says nothing against the others.
    """
    number, item = child.runs_now()
    culprit = child.load.drop(number)
    held, verdict = child.load.jobs.copy(), child.verdict
    child.load.jobs.clear()

    def mourn(work: FarmWork, jobs: list[Job]) -> None:
        work.mourn(jobs, post_mortem)

    def end(work: FarmWork, jobs: list[Job]) -> None:
        if verdict is None:
            work.give_up(jobs[0], post_mortem, item)
        elif verdict.number == number:
            raised = raised_for(verdict, post_mortem)
            work.raise_for(jobs[0], raised, verdict.seconds)
        else:  # it had just been started when the one before was to be ended
            work.put_back(jobs)

    is_known = culprit is not None
    yield [job for n, job in held.items() if is_known and n > number], FarmWork.put_back
    if culprit is not None:
        yield [culprit], end
    doubtful = [job for n, job in held.items() if not is_known or n < number]
    yield doubtful, FarmWork.put_back if child.is_doomed else mourn
