"""A large simulated farm, ``python -m masterslave.testing --slaves 10000 --tasks 1000000``; or many
small ones with a journal, to which plans of faults are done: ``--faults --seeds 5000``.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections import Counter
from time import perf_counter

import msgspec

from masterslave.scheduler.promises.broken import BrokenPromise
from masterslave.testing.climate import Climate
from masterslave.testing.faulty.farm import FaultyFarm
from masterslave.testing.simulation import SimFarm


def main() -> None:
    """Run a farm in which slaves come and go all the time, and print what it has done."""
    parser = argparse.ArgumentParser(prog="python -m masterslave.testing", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--slaves", type=int, default=10_000)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--unchecked", action="store_true", help="no promises, for its time alone")
    parser.add_argument("--faults", action="store_true", help="small farms, and plans of faults")
    parser.add_argument("--seeds", type=int, default=1, help="with --faults: so many, from SEED on")
    parser.add_argument("--standby", action="store_true", help="with --faults: and a standby")
    chosen = parser.parse_args()
    if chosen.faults:
        sys.exit(_do_faults(chosen.seed, chosen.seeds, standby=chosen.standby))
    farm = SimFarm(
        chosen.seed,
        slaves=chosen.slaves,
        tasks=chosen.tasks,
        climate=_churn(chosen.slaves),
        silence_s=20.0,
        check_every=0 if chosen.unchecked else 100_000,
    )
    print(
        f"{chosen.slaves:,} slaves, {chosen.tasks:,} tasks, seed {chosen.seed}",
        flush=True,
    )
    begin = perf_counter()
    report = farm.run()
    for name, value in dataclasses.asdict(report).items():
        if isinstance(value, int):
            print(f"{name:20} {value:,}")
        elif isinstance(value, float) and (name != "scheduler_s" or chosen.unchecked):
            print(f"{name:20} {value:,.1f}")  # with a ledger, the scheduler's own time is not known
    print(f"{'took':20} {perf_counter() - begin:.0f} s{_peak_memory()}")


def _do_faults(first: int, seeds: int, *, standby: bool) -> int:
    """Do the plans of so many seeds to small farms; returns how many have not kept something."""
    begin, broken = perf_counter(), 0
    totals: Counter[str] = Counter()
    for seed in range(first, first + seeds):
        try:
            report = FaultyFarm(seed, standby=standby).run()
        except BrokenPromise as error:
            broken += 1
            print(f"seed {seed}: {error}", flush=True)
        else:
            totals.update(msgspec.structs.asdict(report))
    for name, value in totals.items():
        print(f"{name:20} {value:,.0f}")
    print(f"{'broken':20} {broken} of {seeds:,} seeds")
    print(f"{'took':20} {perf_counter() - begin:.0f} s{_peak_memory()}")
    return min(broken, 1)


def _churn(slaves: int) -> Climate:
    """Return a climate in which a slave stays for some minutes."""
    return Climate(
        task_s=(0.3, 1.0, 2.0),
        join_within_s=2.0,
        submit_within_s=5.0,
        priorities=3,
        retry_share=0.3,
        raise_share=0.02,
        cancel_share=0.02,
        child_loss_share=0.002,
        poison_share=0.0001,
        straggler_share=0.0005,
        slow_share=0.02,
        bad_share=0.01,
        mishap_every_s=200 / slaves,
        duplicate_share=0.01,
    )


def _peak_memory() -> str:
    """Return in words what memory was used at most, where the system says it."""
    try:
        import resource  # not on Windows
    except ImportError:
        return ""
    return f", {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB"


if __name__ == "__main__":
    main()
