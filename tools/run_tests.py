"""All tests: two processes at once, since most tests wait; then, alone, what is marked serial.

What the second process says is shown when it has ended. Any failure is one of the whole.

The processes that tests start, a thousand or so, are up sooner with our bytecode at hand; what
tests write and import leaves none behind (PYTHONDONTWRITEBYTECODE).
"""

from __future__ import annotations

import compileall
import subprocess
import sys
import tempfile

PYTEST = [sys.executable, "-m", "pytest"]
TOGETHER = [*PYTEST, "-m", "not serial"]
OF_SECOND = ["tests/masterslave", "tests/benchmarks"]  # about half of the time
PACKAGES = ["remoteobj", "nameserver", "masterslave"]


def main() -> int:
    """Run them; returns 1 if any has failed."""
    for package in PACKAGES:
        compileall.compile_dir(package, quiet=1)
    others = [f"--ignore={folder}" for folder in OF_SECOND]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        with subprocess.Popen([*TOGETHER, *OF_SECOND], stdout=said, stderr=said) as second:
            codes = [subprocess.call([*TOGETHER, *others]), second.wait()]
        said.seek(0)
        sys.stdout.write(said.read())
        sys.stdout.flush()
    codes.append(subprocess.call([*PYTEST, "-m", "serial"]))
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
