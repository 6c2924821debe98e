"""``python -m tests.benchmarks``: measure remote calls against the raw socket and other systems."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.goals import MEASURES, Line, Scale
from tests.benchmarks.measure import measure
from tests.benchmarks.peers import RAW, SYSTEMS, TLS
from tests.benchmarks.process import Failed
from tests.benchmarks.report import Results, draw, page, tables, this_machine
from tests.benchmarks.sections import section_of, with_section

_QUICK = Scale(1, 0.15, mib=(4, 1), idle=300, waiting=100, limit_s=6.0, limit_many_s=15.0)


def _options() -> argparse.Namespace:
    systems = [system.name for system in (*SYSTEMS, *TLS)]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="once, and little of everything")
    parser.add_argument(
        "--only", action="append", metavar="NAME", choices=systems, help=f"of {systems}; repeatable"
    )
    parser.add_argument(
        "--measure",
        action="append",
        metavar="KEY",
        choices=[what.key for what in MEASURES],
        help=f"of {[what.key for what in MEASURES]}; repeatable",
    )
    parser.add_argument("--reps", type=int, metavar="N", help="repetitions, default 5, quick 1")
    parser.add_argument("--seconds", type=float, metavar="S", help="of one repetition")
    parser.add_argument("--idle", type=int, metavar="N", help="idle connections")
    parser.add_argument(
        "--docs", type=Path, metavar="FOLDER", help="write performance.md and its plot there"
    )
    return parser.parse_args()


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def main() -> None:
    options = _options()
    changes = {"reps": options.reps, "seconds": options.seconds, "idle": options.idle}
    scale = replace(
        _QUICK if options.quick else Scale(),
        **{name: value for name, value in changes.items() if value is not None},
    )
    names = set(options.only or [system.name for system in (*SYSTEMS, *TLS)])
    results: Results = {}
    machine, start = this_machine(), time.monotonic()
    for what in MEASURES:
        if not options.measure or what.key in options.measure:
            try:
                results[what.key] = measure(what, scale, names, _say)
            except Failed as failure:
                results[what.key] = [Line(RAW.name, note=str(failure))]
    _say("")
    print(tables(results))
    print(f"measured in {time.monotonic() - start:.0f} s")
    if options.docs:
        plot = draw(results, options.docs)
        target = options.docs / "performance.md"
        before = target.read_text(encoding="utf-8") if target.exists() else ""
        text = page(results, scale, plot, machine)
        for other in ("paired", "farm"):
            text = with_section(text, other, section_of(before, other))
        target.write_text(text, encoding="utf-8")
        print(f"written: {target}" + (f", {plot}" if plot else "; no plot without matplotlib"))


if __name__ == "__main__":
    main()
