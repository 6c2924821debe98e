"""All tests: two processes at once, since most tests wait; then, alone, what is marked serial.

What the second process says is shown when it has ended. Any failure is one of the whole.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

PYTEST = [sys.executable, "-m", "pytest"]
TOGETHER = [*PYTEST, "-m", "not serial"]


def main() -> int:
    """Run them; returns 1 if any has failed."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        with subprocess.Popen([*TOGETHER, "tests/masterslave"], stdout=said, stderr=said) as second:
            codes = [subprocess.call([*TOGETHER, "--ignore=tests/masterslave"]), second.wait()]
        said.seek(0)
        sys.stdout.write(said.read())
        sys.stdout.flush()
    codes.append(subprocess.call([*PYTEST, "-m", "serial"]))
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
