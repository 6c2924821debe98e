"""What attached scripts share, and results that they give to other tasks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from masterslave import DependencyFailed, Farm, Handle
from tests.conftest import eventually
from tests.masterslave.attached.conftest import StartService
from tests.masterslave.conftest import StartSlave
from tests.masterslave.gates import wait_at


def total(table: np.ndarray, times: int) -> float:
    return float(table.sum()) * times


def table_of(size: int, gate: Path | None = None) -> np.ndarray:
    if gate is not None:
        wait_at(gate)
    if size < 0:
        raise ValueError("too small")
    return np.arange(size)


def test_shared_objects_and_results_of_tasks_go_to_tasks(
    start_service: StartService, tmp_path: Path
) -> None:
    start_service("--local-slaves", "2")
    with Farm.attach("lab") as farm:
        large: Handle[np.ndarray] = farm.share(np.ones(3_000_000))  # three pieces
        assert list(farm.map(total, [large, large], [1, 2])) == [3e6, 6e6]
        handles = farm.share({"inner": large})
        assert farm.submit(lambda both: float(both["inner"][5]), handles).result(30) == 1.0
        slow = farm.submit(table_of, 10, tmp_path / "gate")
        given = [farm.submit(total, slow, times) for times in (1, 2)]
        both = farm.submit(max, *given)
        other = farm.submit(abs, -1)  # those that wait hold up no other
        assert other.result(30) == 1
        assert not slow.done()
        (tmp_path / "gate").touch()
        assert both.result(30) == 90.0
        assert farm.submit(total, slow, 3).result(30) == 135.0
        after_bad = farm.submit(total, farm.submit(table_of, -1), 1)
        with pytest.raises(DependencyFailed, match="too small"):
            after_bad.result(30)
        cancelled = farm.submit(table_of, 1, tmp_path / "no gate")
        follows = farm.submit(total, cancelled, 1)
        assert follows.cancel()
        assert cancelled.cancel()


def test_what_is_shared_or_given_outlives_script_and_service(
    start_service: StartService, start_slave: StartSlave, tmp_path: Path
) -> None:
    service = start_service()
    farm = Farm.attach("lab")
    shared: Handle[np.ndarray] = farm.share(np.ones(2_000_000))
    farm.map(total, [shared] * 3, [1, 2, 3])
    early, late = farm.submit(table_of, 5), farm.submit(table_of, 10, tmp_path / "gate")
    farm.submit(total, early, 1)
    farm.submit(total, late, 2)
    ticket = farm.detach()
    start_slave("lab", "--slots", "1")
    with Farm.attach("lab", ticket=ticket) as farm:
        assert [one.result(30) for one in farm.futures[:4]][:3] == [2e6, 4e6, 6e6]
        again = farm.submit(total, farm.futures[4], 3)  # waits in the script
        eventually(farm.futures[4].running, "the farm has it")
        service.kill()
        service.wait()
        start_service()
        (tmp_path / "gate").touch()
        assert farm.futures[6].result(30) == 90.0
        assert farm.futures[5].result(30) == 10.0
        assert again.result(30) == 135.0
