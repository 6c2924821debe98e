"""From the start of a script to its first result."""

from __future__ import annotations

import time

from tests.benchmarks.farm.sample import Job, Sample
from tests.benchmarks.farm.tasks import nothing

__all__ = ["first_result"]


def first_result(job: Job) -> Sample:
    pool = job.open(2)
    pool.result(pool.submit(nothing))
    return Sample(time.monotonic() - job.began_s)
