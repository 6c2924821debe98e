"""``python -m tests.benchmarks.farm``: measure the farm beside other systems."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.farm.measures import MEASURES, Scale
from tests.benchmarks.farm.measuring import Results, measure, try_out
from tests.benchmarks.farm.plot import draw
from tests.benchmarks.farm.report import page, section, tables
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


def _options() -> argparse.Namespace:
    measures, systems = [what.key for what in MEASURES], [system.key for system in SYSTEMS]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.farm", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="once, and a quarter of the tasks")
    parser.add_argument(
        "--only",
        type=_keys(measures, "measure"),  # type: ignore[arg-type]
        metavar="KEYS",
        help=f"measures, with commas between: {', '.join(measures)}",
    )
    parser.add_argument(
        "--systems",
        type=_keys(systems, "system"),  # type: ignore[arg-type]
        metavar="KEYS",
        help=f"systems, with commas between: {', '.join(systems)}",
    )
    parser.add_argument("--repeat", type=int, metavar="N", help="repetitions, default 5, quick 1")
    parser.add_argument("--share", type=float, metavar="X", help="of the tasks, default 1")
    parser.add_argument(
        "--docs", type=Path, metavar="FOLDER", help="write performance-farm.md and its plot there"
    )
    return parser.parse_args()


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def main() -> None:
    options = _options()
    usual = _QUICK if options.quick else Scale()
    scale = Scale(options.repeat or usual.repeat, options.share or usual.share)
    machine, start = this_machine(), time.monotonic()
    results: Results = {}
    ended = "measured"
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is started is ended, too
    try:
        _measure(options, scale, results)
    except KeyboardInterrupt:  # what is measured has cost minutes
        ended = "interrupted; measured"
    _say("")
    print(tables(results))
    print(f"{ended} in {time.monotonic() - start:.0f} s")
    if options.docs and ended == "measured":
        _write(results, scale, options.docs, machine)
    sys.exit(ended != "measured")


def _measure(options: argparse.Namespace, scale: Scale, results: Results) -> None:
    with tempfile.TemporaryDirectory(prefix="b-cache-") as cache:
        chosen = [BY_KEY[key] for key in options.systems or BY_KEY]
        why_not = try_out(chosen, Path(cache), _say)
        for what in MEASURES:
            if not options.only or what.key in options.only:
                results[what.key] = measure(what, scale, why_not, Path(cache), _say)


def _write(results: Results, scale: Scale, docs: Path, machine: str) -> None:
    plot = draw(results, docs)
    own, shared = docs / "performance-farm.md", docs / "performance.md"
    own.write_text(page(results, scale, plot, machine), encoding="utf-8")
    before = shared.read_text(encoding="utf-8") if shared.exists() else ""
    part = section(results, scale, plot, machine)
    shared.write_text(with_section(before, "farm", part), encoding="utf-8")
    print(f"written: {own}, {shared}" + (f", {plot}" if plot else "; no plot without matplotlib"))


if __name__ == "__main__":
    main()
