"""What the tests have slaves do, in a module that is quick to import there."""

from __future__ import annotations

import os
import time


def work() -> int:
    """Take a moment of CPU, and tell which process it was."""
    end = time.monotonic() + 0.02
    while time.monotonic() < end:
        pass
    return os.getpid()
