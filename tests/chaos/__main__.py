"""``python -m tests.chaos --seconds 60``: many seeds, one after another, a line for each.

A seed that fails is a line that runs it again, and a folder with its journal, logs and story. The
plan of a seed is the same each time; what comes of it depends on the machine, too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import partial
from itertools import islice
from pathlib import Path

from masterslave.testing.faults import Kind
from tests.chaos.machines import why_no_hosts
from tests.chaos.room import SCENES
from tests.chaos.seed import Verdict, run_seed
from tests.chaos.things import own_mounts

_SHOWN = 12


def main() -> int:
    """Run seeds until the time is over; returns 1 if any has failed."""
    given = _arguments()
    may_mount = own_mounts()
    _say_what_is_missing(given.scenes, may_mount=may_mount)
    keep = given.keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    keep.mkdir(parents=True, exist_ok=True)
    run = partial(
        run_seed, seconds=given.plan, kinds=given.kinds, scenes=given.scenes, keep=keep,
        may_mount=may_mount, plant=given.plant,
    )  # fmt: skip
    number = failed = 0
    planned: Counter[str] = Counter()
    for verdict in _run_all(run, given):
        _tell(verdict, given)
        planned += Counter(fault.kind for fault in verdict.faults)
        number, failed = number + 1, failed + bool(verdict.wrong)
        if failed and given.first:
            break
    told = ", ".join(f"{kind} {times}" for kind, times in sorted(planned.items()))
    print(f"{number} seeds, {failed} failed; faults that were planned: {told}", flush=True)
    if not failed and given.keep is None:
        keep.rmdir()
    return int(failed > 0)


def _run_all(run: Callable[[int], Verdict], given: argparse.Namespace) -> Iterator[Verdict]:
    """Run seeds, so many at a time, until the time is over or there were enough."""
    until = time.monotonic() + given.seconds
    seeds = range(given.seed, given.seed + (given.seeds or 1_000_000))
    coming = iter(seeds)
    with ThreadPoolExecutor(given.jobs) as pool:
        under_way = {pool.submit(run, seed) for seed in islice(coming, given.jobs)}
        while under_way:
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
                if given.seeds or time.monotonic() < until:
                    under_way |= {pool.submit(run, seed) for seed in islice(coming, 1)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long in all")
    parser.add_argument("--seed", type=int, default=1, help="the first")
    parser.add_argument("--seeds", type=int, default=0, help="how many; default: for --seconds")
    parser.add_argument("--jobs", type=int, default=1, help="seeds at a time")
    parser.add_argument("--kinds", type=_kinds, default=tuple(Kind), help="of faults: a,b,...")
    parser.add_argument("--scenes", type=_scenes, default=tuple(SCENES), help="rooms: a,b,...")
    parser.add_argument("--plan", type=float, default=3.0, help="seconds of faults in each seed")
    parser.add_argument("--keep", type=Path, help="where the folders of failed seeds are kept")
    parser.add_argument("--plant", type=Path, help="a file with a bug for the master to have")
    parser.add_argument("--first", action="store_true", help="end with the first that fails")
    return parser.parse_args()


def _kinds(text: str) -> tuple[Kind, ...]:
    return tuple(Kind(word) for word in text.split(","))


def _scenes(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= set(SCENES):
        raise argparse.ArgumentTypeError(f"rooms are {', '.join(SCENES)}")
    return names


def _say_what_is_missing(scenes: tuple[str, ...], *, may_mount: bool) -> None:
    why = why_no_hosts()
    if why and any(SCENES[name].is_lan for name in scenes):
        print(f"all machines are this one, and cables are cut by the test: {why}", flush=True)
    if not may_mount:
        print("a full disk is a limit to the size of files: this user may mount none", flush=True)


def _tell(verdict: Verdict, given: argparse.Namespace) -> None:
    kinds = Counter(fault.kind.value for fault in verdict.faults)
    faults = ", ".join(f"{kind} {times}" for kind, times in sorted(kinds.items()))
    state = f"{len(verdict.wrong)} WRONG" if verdict.wrong else "ok"
    print(
        f"seed {verdict.seed} {verdict.scene}: {state}; {verdict.answered} tasks, {verdict.twice} "
        f"ran again; {verdict.seconds:.1f} s; {faults}",
        flush=True,
    )
    if not verdict.wrong:
        return
    for line in verdict.wrong[:_SHOWN]:
        print(f"    {line}", flush=True)
    if len(verdict.wrong) > _SHOWN:
        print(f"    ... and {len(verdict.wrong) - _SHOWN} more", flush=True)
    again = [f"python -m tests.chaos --seed {verdict.seed} --seeds 1 --plan {given.plan:g}"]
    if given.kinds != tuple(Kind):
        again.append(f"--kinds {','.join(given.kinds)}")
    again.append(f"--scenes {verdict.scene}")
    if given.plant:
        again.append(f"--plant {given.plant}")
    print(f"    again: {' '.join(again)}    kept: {verdict.folder}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
