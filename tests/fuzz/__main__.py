"""``python -m tests.fuzz --inputs 1000000 --seed 7``: broken bytes for all that strangers reach.

One failing input is made again by ``--only NAME --seed SEED --at NUMBER``, which shows where.
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import tempfile
from pathlib import Path

from tests.fuzz.parsers import parsers
from tests.fuzz.running import once, run

HANG_S = 120
"""Some hundred inputs take less, also where the machine is busy."""


def _alive() -> None:
    """End, with what all threads do, unless this is called again in time."""
    faulthandler.dump_traceback_later(HANG_S, exit=True)


def main() -> int:
    """Run as a script."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=502)
    parser.add_argument("--only", metavar="NAME")
    parser.add_argument("--at", type=int, metavar="NUMBER")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chosen = [each for each in parsers(Path(folder)) if given.only in (None, each.name)]
        if given.at is not None:
            for each in chosen:
                once(each, given.seed, given.at)
            return 0
        report = run(chosen, given.inputs, given.seed, _alive)
    print(report)
    return bool(report.complaints)


if __name__ == "__main__":
    sys.exit(main())
