"""``python -m tests.benchmarks.farm.job JOB``: the script of one repetition of one system.

It writes its answer to a file, because systems write what they like to standard output.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.farm.sample import Job, Sample
from tests.benchmarks.farm.systems import BY_KEY, Pool, pool_of

__all__ = ["ANSWER", "main"]

ANSWER = "answer.json"


def _measure(told: dict[str, Any], pools: list[Pool]) -> Sample:
    module, _, name = told["workload"].partition(":")
    workload = getattr(importlib.import_module(f"tests.benchmarks.farm.workloads.{module}"), name)

    def start(workers: int) -> Pool:
        pools.append(pool_of(BY_KEY[told["system"]])(workers))
        return pools[-1]

    numbers = {key: told[key] for key in ("count", "ms", "at_s", "patience_s", "began_s")}
    sample = workload(Job(**numbers, folder=Path(told["folder"]), open=start))
    assert isinstance(sample, Sample)
    return sample


def main() -> None:
    told = json.loads(sys.argv[1])
    pools: list[Pool] = []
    answer: dict[str, Any]
    try:
        sample = _measure(told, pools)
        answer = {"value": sample.value, "facts": sample.facts, "flaw": sample.flaw}
    except Exception as fault:
        words = " ".join(f"{type(fault).__name__}: {fault}".split())
        answer = {"fault": words.removeprefix("NotImplementedError: ")}
    target = Path(told["folder"]) / ANSWER
    part = target.with_suffix(".part")
    part.write_text(json.dumps(answer), encoding="utf-8")
    part.rename(target)
    for pool in pools:
        pool.close()


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    if "mpi4py" not in sys.modules:
        os._exit(0)  # systems may have threads that do not end
