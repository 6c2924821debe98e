"""Objects that are shared: what tasks get, how often it travels, and when it is gone."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from masterslave import Farm, Handle, NotPicklable, NotShared
from tests.conftest import children_of, eventually
from tests.masterslave.shared import farm, own_machine

np = pytest.importorskip("numpy")

__all__ = ["farm", "own_machine"]

MIB = 1 << 20


def shared_memory_of(pid: int | str) -> list[str]:
    """The memory of shared objects that a process has open or mapped."""
    held = []
    with contextlib.suppress(OSError):  # it has ended
        held = Path(f"/proc/{pid}/maps").read_text().splitlines()
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # the one by which they are listed
                held.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return [each for each in held if "memfd:shared" in each]


def in_children() -> dict[int, list[str]]:
    """The same of the agents and children of this process."""
    agents = children_of(os.getpid())
    pids = [*agents, *(child for agent in agents for child in children_of(agent))]
    return {pid: held for pid in pids if (held := shared_memory_of(pid))}


def look_at(array: Any, factor: int = 1) -> tuple[float, bool, int]:
    return float(array.sum()) * factor, array.flags.writeable, os.getpid()


def test_a_task_gets_the_object_wherever_its_handle_is(farm: Farm) -> None:
    array = np.arange(1000.0)
    handle = farm.share(array)
    assert farm.submit(look_at, handle, 2).result(timeout=15)[:2] == (999_000.0, False)
    assert farm.submit(look_at, array=handle).result()[0] == 499_500.0
    assert farm.submit(str, [1, {"a": farm.share({1, 2})}]).result() == "[1, {'a': {1, 2}}]"
    assert list(farm.map(look_at_item, [(handle, 1), (handle, 2)])) == [499_500.0, 999_000.0]
    doubled = farm.imap(partial(take, handle), range(3))
    assert list(doubled) == [0.0, 1.0, 2.0]
    assert farm.submit(lambda: float(handle[7])).result() == 7.0
    nested = farm.share({"inner": handle, "name": "x"})
    assert farm.submit(lambda given: float(given["inner"][3]), nested).result() == 3.0
    assert farm.options(retries=1).submit(look_at, handle).result()[0] == 499_500.0
    assert farm.submit(repr, farm.share(None)).result() == "None"
    text = farm.submit(lambda view: bytes(view[:3]), farm.share(memoryview(b"abc" * 9999)))
    assert text.result() == b"abc"


def writable_in(objects: dict[str, Any]) -> list[str]:
    return [name for name, each in objects.items() if each.flags.writeable]


@pytest.mark.parametrize("here", [None, 1])
def test_no_array_can_be_written_small_or_with_gaps(here: int | None) -> None:
    table = np.arange(90000.0).reshape(300, 300)
    arrays = {
        "small": np.arange(3.0),
        "number": np.array(1.0),
        "text": np.array(["a", "b"]),
        "record": np.zeros(3, [("a", "i4"), ("b", "f8")]),
        "gaps": table[:, ::2],
        "backwards": table[::-1],
        "turned": table.T,
        "spread": np.broadcast_to(np.arange(3.0), (1000, 3)),
    }
    with Farm("shared", local_slaves=1, here=here) as farm:
        handle = farm.share(arrays)
        assert farm.submit(writable_in, handle).result(timeout=15) == []
        assert all(np.array_equal(handle.value[name], arrays[name]) for name in arrays)
        by_value = farm.share({"gaps": table[::2], "made": made_here(np.arange(3.0))})
        assert farm.submit(lambda given: given["gaps"].flags.writeable, by_value).result() is False
        handle = farm.share(farm.empty(3))
        assert farm.submit(look_at, handle).result()[:2] == (0.0, False)


def made_here(array: Any) -> Any:
    """Of a class that has to travel by value."""
    return type("Holder", (), {"__module__": "__main__", "array": array})


def look_at_item(item: Any) -> float:
    return look_at(*item)[0]


def take(array: Any, index: int) -> float:
    return float(array[index])


def test_what_a_handle_says(farm: Farm) -> None:
    array = np.ones(MIB)
    handle: Handle[Any] = farm.share(array)
    array[0] = 7
    assert handle.value[0] == 1, "it is what it was when it was shared"
    with pytest.raises(ValueError, match="read-only"):
        handle.value[0] = 2
    assert 8 * MIB <= handle.nbytes < 8.1 * MIB
    assert "farm 'shared'" in repr(handle)
    handle.release()
    assert "released" in repr(handle)
    with pytest.raises(NotShared, match="share the object anew"):
        _ = handle.value
    with pytest.raises(NotPicklable, match="released"):
        farm.submit(look_at, handle).result(timeout=15)


def test_what_cannot_be_shared_is_told_in_words(farm: Farm) -> None:
    with pytest.raises(NotPicklable, match="of type lock cannot be shared: cannot pickle"):
        farm.share(threading.Lock())
    with Farm("other", local_slaves=1) as other:
        handle = other.share([1])
        with pytest.raises(
            NotPicklable, match=r"a handle of farm 'other' .* given to farm 'shared'"
        ):
            farm.submit(len, handle).result(timeout=15)
        with pytest.raises(NotShared, match="share the object with that farm, too"):
            next(iter(farm.map(len, [handle])))
        assert other.submit(len, handle).result(timeout=15) == 1
    with pytest.raises(ValueError, match="Python objects"):
        farm.empty(3, object)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_equal_contents_are_one_and_all_map_the_same_memory(farm: Farm) -> None:
    first = farm.share({"a": np.full(MIB, 2.0)})
    before = len(shared_memory_of("self"))
    second = farm.share({"a": np.full(MIB, 2.0)})
    assert len(shared_memory_of("self")) == before
    inodes = {farm.submit(inode_of, handle).result() for handle in (first, second) * 4}
    assert len(inodes) == 1
    made = farm.empty((1024, 1024))
    assert not made.any()
    made[:] = 3
    before = len(shared_memory_of("self"))
    handles = [farm.share(made), farm.share(made), farm.share([made, "more"])]
    assert not made.flags.writeable
    assert farm.submit(look_at, handles[1]).result()[:2] == (3.0 * MIB, False)
    assert farm.submit(lambda pair: pair[0].sum(), handles[2]).result() == 3.0 * MIB
    assert len(shared_memory_of("self")) <= before + 1, "the pickles of all take one file at most"
    del first, second, handles, made
    gc.collect()
    eventually(lambda: not in_children(), "nothing is mapped any more")


def inode_of(given: Any) -> str:
    (mapped,) = {line.split()[4] for line in Path("/proc/self/maps").read_text().splitlines()
                 if "memfd:shared" in line}  # fmt: skip
    assert given["a"].sum() == 2 * MIB
    return mapped


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_it_stays_for_tasks_that_wait_and_is_gone_after_them(farm: Farm, tmp_path: Path) -> None:
    go_on = tmp_path / "go on"
    handle = farm.share(np.arange(MIB))
    futures = [farm.submit(wait_and_look, go_on, handle) for _ in range(8)]
    by_function = farm.submit(partial(wait_and_look, go_on), handle)
    handle.release()
    go_on.touch()
    assert {future.result(timeout=15) for future in (*futures, by_function)} == {MIB - 1}
    del futures, by_function, handle
    gc.collect()  # errors of other tests
    eventually(lambda: not in_children(), "nothing is mapped any more")
    eventually(lambda: not shared_memory_of("self"), f"it is gone: {shared_memory_of('self')}")


def wait_and_look(path: Path, array: Any) -> int:
    while not path.exists():
        threading.Event().wait(0.01)
    return int(array[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_child_that_is_killed_costs_the_object_nothing(farm: Farm) -> None:
    handle = farm.share(np.ones(MIB))
    for _ in range(2):
        pid = farm.submit(look_at, handle).result(timeout=15)[2]
        os.kill(pid, signal.SIGKILL)
    assert farm.submit(look_at, handle).result(timeout=15)[0] == MIB


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in the file system")
def test_an_outcome_is_told_also_if_an_object_was_dropped_while_its_task_ran(
    tmp_path: Path,
) -> None:
    def late(packed: bytes, go: str) -> Any:
        with open(go):  # until somebody opens it to write
            pass
        return pickle.loads(packed)  # asks for the object, and so hears what is to be dropped

    go = tmp_path / "go"
    os.mkfifo(go)
    with Farm("dropped", local_slaves=1) as farm:
        first, second = farm.share([1]), farm.share([2])
        assert farm.submit(len, first).result(timeout=15) == 1
        future = farm.submit(late, pickle.dumps(second), str(go))
        eventually(lambda: [1 for slave in farm.slaves for _ in slave.runs], "it runs")
        first.release()
        gc.collect()
        farm.slaves[0].status()  # the slave has heard of it
        with go.open("w"):
            pass
        assert future.result(timeout=15) == [2]
