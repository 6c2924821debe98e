"""Tasks that need amounts, or a place, on real slaves."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from masterslave import Farm
from masterslave.errors import BadOffer
from masterslave.offers import read_offers
from tests.conftest import eventually
from tests.masterslave.shared import farm, own_machine

__all__ = ["farm", "own_machine"]


def run_alone(folder: Path) -> int:
    """Return the pid of the agent; raises if another one of these runs in the folder meanwhile."""
    mark = folder / "runs"
    mark.touch(exist_ok=False)
    sum(range(100_000))
    mark.unlink()
    return os.getppid()


def test_what_is_needed_is_used_by_one_at_a_time(
    start_slave: Callable[..., object], tmp_path: Path
) -> None:
    start_slave("needs", "--slots", "3", "--offer", "gpu=1", "--offer", "ram_gb=2.5")
    with Farm("needs", local_slaves=1) as farm:
        eventually(lambda: len(farm.slaves) == 2, "both slaves join")
        (with_gpu,) = [slave for slave in farm.slaves if slave.offers]
        assert with_gpu.offers == {"gpu": 1.0, "ram_gb": 2.5}
        nobody_has_two = farm.options(needs={"gpu": 2}).submit(os.getpid)
        on_gpu = farm.options(needs={"gpu": 1, "ram_gb": 0.5})
        assert {*on_gpu.map(run_alone, [tmp_path] * 20, chunksize=1)} == {with_gpu.pid}
        assert not nobody_has_two.done()
        assert nobody_has_two.cancel()


def test_tasks_run_where_they_are_told_to(farm: Farm) -> None:
    eventually(lambda: len(farm.slaves) == 2, "both slaves join")
    for slave in farm.slaves:
        there = farm.options(on=slave.name)
        assert {task.result() for task in [there.submit(os.getppid) for _ in range(9)]} == {
            slave.pid
        }
    assert farm.options(on=socket.gethostname()).submit(abs, -1).result() == 1
    nowhere = farm.options(on="nobody")
    assert nowhere.options(on="").submit(abs, -1).result() == 1
    assert nowhere.submit(abs, -1).cancel()


def test_needs_are_names_and_amounts(farm: Farm) -> None:
    nan = float("nan")
    for needs in ({"": 1}, {"gpu": -1}, {"gpu": nan}, {"gpu": "1"}, {1: 1}, {"gpu": True}, 3):
        with pytest.raises(BadOffer, match="a need"):
            farm.options(needs=needs)


def test_numbers_of_needs_and_limits_may_be_numpys_and_are_never_too_large(farm: Farm) -> None:
    np = pytest.importorskip("numpy")
    view = farm.options(needs={"gpu": np.int64(2), "ram_gb": np.float32(0.5)})
    assert "needs={'gpu': 2.0, 'ram_gb': 0.5}" in repr(view)
    for limit in (np.int64(3), np.float32(3)):
        with_limit = farm.options(timeout_s=limit, retries=np.int64(1), max_attempts=np.int8(2))
        assert with_limit.submit(abs, -1).result(timeout=10) == 1
    with pytest.raises(BadOffer, match="a need of 'gpu' is a number from 0, not inf"):
        farm.options(needs={"gpu": 10**400})
    with pytest.raises(ValueError, match="timeout_s is too large a number"):
        farm.options(timeout_s=10**400)
    for bad in (True, "3", np.array([1, 2]), 1j):
        with pytest.raises(TypeError, match="timeout_s is a number"):
            farm.options(timeout_s=bad)


def test_offers_are_read_from_the_command_line() -> None:
    assert read_offers(("gpu=1", "ram_gb=7.5", "none=0")) == {"gpu": 1.0, "ram_gb": 7.5}
    for text in ("gpu", "gpu=", "=1", "gpu=one", "gpu=-1", "gpu=1e3", "gpu=inf", "g pu=1"):
        with pytest.raises(BadOffer, match="such as gpu=1"):
            read_offers((text,))
    with pytest.raises(BadOffer, match="twice"):
        read_offers(("gpu=1", "gpu=2"))
