"""Farms that share two slaves get equal parts of their time: each label, and each farm of one."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from masterslave import Farm
from tests.conftest import eventually
from tests.masterslave.conftest import StartSlave

pytestmark = pytest.mark.serial

Load = Callable[[str], ModuleType]

PARTS = {"a1": 1 / 6, "a2": 1 / 6, "b": 1 / 3, "c": 1 / 3}
"""What two farms of one label, and those of two others, should get."""

SETTLED_S = 2.0
"""After that the import by the one that came first, which is its slot's time, is made up for."""

WORK = """
import time

def work(_):
    # What a task does: it occupies its slot, and no core. It says when that was over.
    time.sleep(0.005)
    return time.monotonic()  # all of this is on one machine
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Import a module of a given name that has ``work``, and imports next to nothing."""
    monkeypatch.syspath_prepend(tmp_path)
    loaded = []

    def load(name: str) -> ModuleType:
        (tmp_path / f"{name}.py").write_text(WORK)
        loaded.append(name)
        return importlib.import_module(name)

    yield load
    for name in loaded:
        del sys.modules[name]


@contextlib.contextmanager
def farms(start_slave: StartSlave) -> Iterator[dict[str, Farm]]:
    """Two slaves of one slot each, and four farms that both of them serve."""
    for _ in range(2):
        start_slave("--slots", "1")
    with contextlib.ExitStack() as stack:
        found = {name: stack.enter_context(Farm(name[0], local_slaves=0)) for name in PARTS}
        for farm in found.values():
            eventually(lambda farm=farm: len(farm.slaves) == 2, "both slaves join")
        yield found
        for farm in found.values():
            farm.shutdown(wait=False, cancel_futures=True)


def parts_in(
    window_s: float, farms: dict[str, Farm], modules: dict[str, ModuleType]
) -> dict[str, float]:
    """Return which part of what was done in a window each farm has, after all have begun."""
    streams = {
        name: farm.imap_unordered(modules[name].work, range(100_000), limit=2000)
        for name, farm in farms.items()
    }
    begin = max(next(stream)[1] for stream in streams.values()) + SETTLED_S

    def count(name: str) -> int:
        done: Counter[bool] = Counter()
        for _, at in streams[name]:
            done[begin < at <= begin + window_s] += 1
            if at > begin + window_s:
                break
        return done[True]

    with ThreadPoolExecutor(len(farms)) as threads:
        counts = dict(zip(farms, threads.map(count, farms), strict=True))
    return {name: each / sum(counts.values()) for name, each in counts.items()}


def test_two_farms_and_three_labels_get_their_parts_of_two_slaves(
    start_slave: StartSlave, load: Load
) -> None:
    modules = dict.fromkeys(PARTS, load("work_of_all"))
    with farms(start_slave) as running:
        assert parts_in(8.0, running, modules) == pytest.approx(PARTS, rel=0.1)


def test_so_do_farms_with_different_modules(start_slave: StartSlave, load: Load) -> None:
    modules = {name: load(f"work_of_{name}") for name in PARTS}
    with farms(start_slave) as running:
        assert parts_in(20.0, running, modules) == pytest.approx(PARTS, rel=0.1)
