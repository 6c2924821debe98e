"""All tests: three processes at once, since most tests wait; then, alone, what is marked serial.

What the others say beside the first one is shown when they have ended. Any failure is one of the
whole.

The processes that tests start, a thousand or so, are up sooner with our bytecode at hand; what
tests write and import leaves none behind (PYTHONDONTWRITEBYTECODE).
"""

from __future__ import annotations

import compileall
import contextlib
import subprocess
import sys
import tempfile

PYTEST = [sys.executable, "-m", "pytest"]
TOGETHER = [*PYTEST, "-m", "not serial"]
FARM = ["tests/masterslave", "tests/benchmarks"]
LASTING = ["attached", "journaled", "keeping", "leading", "service", "standby"]
NETWORK = ["tests/lan", *(f"tests/masterslave/{one}" for one in LASTING)]
PACKAGES = ["remoteobj", "nameserver", "masterslave"]


def main() -> int:
    """Run them; returns 1 if any has failed."""
    for package in PACKAGES:
        compileall.compile_dir(package, quiet=1)
    rest = _without([*FARM, *NETWORK])
    with contextlib.ExitStack() as stack:
        beside = []
        for tests in ([*FARM, *_without(NETWORK)], NETWORK):
            said = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8"))
            run = subprocess.Popen([*TOGETHER, *tests], stdout=said, stderr=said)
            beside.append((stack.enter_context(run), said))
        codes = [subprocess.call([*TOGETHER, *rest])]
        for run, said in beside:
            codes.append(run.wait())
            said.seek(0)
            sys.stdout.write(said.read())
            sys.stdout.flush()
    codes.append(subprocess.call([*PYTEST, "-m", "serial"]))
    return int(any(codes))


def _without(folders: list[str]) -> list[str]:
    return [f"--ignore={folder}" for folder in folders]


if __name__ == "__main__":
    sys.exit(main())
