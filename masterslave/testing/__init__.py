"""A farm in one thread, on a fake clock: the real scheduler with thousands of toy slaves.

>>> from masterslave.testing import SimFarm
>>> report = SimFarm(7, slaves=20, tasks=200).run()
>>> report.submitted == report.done + report.given_up + report.cancelled
True

Every promise of the scheduler is checked on the way; ``BrokenPromise`` says which one was broken,
and how to see it again.
"""

from masterslave.scheduler.promises.broken import BrokenPromise
from masterslave.testing.climate import Climate
from masterslave.testing.report import SimReport
from masterslave.testing.simulation import SimFarm

__all__ = ["BrokenPromise", "Climate", "SimFarm", "SimReport"]
