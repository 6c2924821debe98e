"""Memory of a service: bounded by what is open, and little of that."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_MOST_WAITING = {"": 2000, "--items": 600}


@pytest.mark.parametrize("form", ["", "--items"])
def test_a_task_that_waits_takes_a_kilobyte_and_an_item_less(form: str) -> None:
    command = [sys.executable, "-m", "tests.masterslave.service.weight", "--tasks", "10000"]
    done = subprocess.run(
        [*command, *form.split()], check=True, capture_output=True, text=True, timeout=120
    )
    found = json.loads(done.stdout)
    assert found["waiting_bytes"] < _MOST_WAITING[form], found
    assert found["file_bytes"] < 400, found
