"""A standby that finds nothing to follow says so, and why."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from masterslave import Farm
from masterslave.standby import Standby
from tests.conftest import eventually


@pytest.mark.usefixtures("own_machine")
def test_why_nothing_is_followed_is_said_once(tmp_path: Path) -> None:
    said: dict[str, list[str]] = {"script": [], "nobody": []}
    stop = threading.Event()
    with Farm("script", local_slaves=0):
        threads = []
        for label, lines in said.items():
            following = Standby(label, tmp_path / f"{label}.db", report=lines.append)
            threads.append(threading.Thread(target=following.run_until, args=[stop]))
            threads[-1].start()
        eventually(lambda: all(len(lines) > 1 for lines in said.values()), "both say it", 20)
        stop.set()
        for thread in threads:
            thread.join()
    assert [len(lines) for lines in said.values()] == [2, 2]
    assert "is a script's own: only 'masterslave master' has standbys" in said["script"][1]
    assert said["nobody"][1].startswith("no farm 'nobody' is seen, in this user's directory or ")
