"""``python -m tests.benchmarks.farm``: measure the farm beside other systems."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.farm.measures import MEASURES, Measure, Scale
from tests.benchmarks.farm.measuring import measure, try_out
from tests.benchmarks.farm.plot import draw
from tests.benchmarks.farm.report import goals_part, measure_part, page, section
from tests.benchmarks.farm.results import Plan, Results, Table, keep, kept
from tests.benchmarks.farm.systems import BY_KEY, SYSTEMS
from tests.benchmarks.report import this_machine
from tests.benchmarks.sections import with_section

_QUICK = Scale(repeat=1, share=0.25)


def _keys(known: list[str], what: str) -> object:
    def parse(text: str) -> list[str]:
        wrong = [key for key in text.split(",") if key not in known]
        if wrong:
            raise argparse.ArgumentTypeError(f"no {what} {wrong[0]!r}; there are {known}")
        return text.split(",")

    return parse


def _parser() -> argparse.ArgumentParser:
    measures, systems = [what.key for what in MEASURES], [system.key for system in SYSTEMS]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.farm", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="once, and a quarter of the tasks")
    parser.add_argument(
        "--only",
        type=_keys(measures, "measure"),
        default=measures,
        metavar="KEYS",
        help=f"measures, with commas between: {', '.join(measures)}",
    )
    parser.add_argument(
        "--systems",
        type=_keys(systems, "system"),
        default=systems,
        metavar="KEYS",
        help=f"systems, with commas between: {', '.join(systems)}",
    )
    parser.add_argument("--repeat", type=int, metavar="N", help="repetitions, default 5, quick 1")
    parser.add_argument("--share", type=float, metavar="X", help="of the tasks, default 1")
    parser.add_argument(
        "--docs", type=Path, metavar="FOLDER", help="write performance-farm.md and its plot there"
    )
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="FILE",
        help="leave out the measures that FILE holds, and keep each there when it ends; "
        "by default, --docs keeps them anew in FOLDER/performance-farm.json",
    )
    return parser


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def main() -> None:
    parser = _parser()
    options = parser.parse_args()
    usual = _QUICK if options.quick else Scale()
    scale = Scale(options.repeat or usual.repeat, options.share or usual.share)
    plan, start = Plan(scale, options.systems), time.monotonic()
    try:
        results = kept(options.resume, plan) if options.resume else {}
    except ValueError as error:
        parser.error(str(error))
    if results:
        print(f"{options.resume} holds {', '.join(results)}")
    store = options.resume or (options.docs and options.docs / "performance-farm.json")
    ended = "measured"
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is started is ended, too
    try:
        for what, table in _measured(options.only, plan, set(results)):
            results[what.key] = table
            if store:
                keep(store, plan, results)
            _say("")
            print(measure_part(what, table), end="\n\n", flush=True)
    except KeyboardInterrupt:
        ended = "interrupted; measured"
    _say("")
    print(goals_part(results))
    print(f"{ended} in {time.monotonic() - start:.0f} s")
    if options.docs and ended == "measured":
        _write(results, scale, options.docs)
    sys.exit(ended != "measured")


def _measured(only: list[str], plan: Plan, done: set[str]) -> Iterator[tuple[Measure, Table]]:
    """Measure what is not done, and give each table when it ends: a cut run has cost minutes."""
    left = [what for what in MEASURES if what.key in only and what.key not in done]
    if not left:
        return
    machine = this_machine()
    with tempfile.TemporaryDirectory(prefix="b-cache-") as cache:
        why_not = try_out([BY_KEY[key] for key in plan.systems], Path(cache), _say)
        for what in left:
            began = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
            lines = measure(what, plan.scale, why_not, Path(cache), _say)
            yield what, Table(lines, began, machine)


def _write(results: Results, scale: Scale, docs: Path) -> None:
    plot = draw(results, docs)
    own, shared = docs / "performance-farm.md", docs / "performance.md"
    own.write_text(page(results, scale, plot), encoding="utf-8")
    before = shared.read_text(encoding="utf-8") if shared.exists() else ""
    part = section(results, scale, plot)
    shared.write_text(with_section(before, "farm", part), encoding="utf-8")
    print(f"written: {own}, {shared}" + (f", {plot}" if plot else "; no plot without matplotlib"))


if __name__ == "__main__":
    main()
