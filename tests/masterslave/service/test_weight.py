"""Memory of a service: bounded by what is open, and little of that."""

from __future__ import annotations

import json
import subprocess
import sys


def test_a_task_that_waits_takes_a_kilobyte() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.masterslave.service.weight", "--tasks", "10000"],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["waiting_bytes"] < 2000, found
    assert found["file_bytes"] < 400, found
