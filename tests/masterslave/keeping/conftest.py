"""Masters of kept farms, in processes of their own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import StartScript
from tests.masterslave.keeping.masters import MasterProcess, StartMaster

__all__ = ["MINE"]

MINE = "00112233aabbccdd"
_MASTER = "import sys; from tests.masterslave.keeping.masters import main; main(*sys.argv[1:])"


@pytest.fixture
def start_master(start_script: StartScript) -> StartMaster:
    """Start a master of the farm "kept", of some run."""

    def start(
        run: int, *, farm_id: str = MINE, keep_s: float = 60.0, label: str = "kept", **options: Any
    ) -> MasterProcess:
        process = start_script(
            "-c", _MASTER, label, farm_id, str(keep_s), str(run),
            json.dumps(options),
        )  # fmt: skip
        master = MasterProcess(process)
        assert master.ask("'up'") == "up"
        return master

    return start
