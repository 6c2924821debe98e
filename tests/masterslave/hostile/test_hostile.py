"""Tasks that misbehave: each costs itself, says why, and leaves its slave working and clean."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest

from masterslave import NotPicklable, TaskFailed, TaskLost, TaskOutOfMemory, TaskTimedOut
from tests.conftest import eventually
from tests.masterslave.hostile.conftest import SHARE_MIB, Hostile

pytestmark = [
    pytest.mark.serial,  # each answer has a second
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

LIMIT_S = 0.3


def by_value(function: Any) -> Any:
    """Have it travel as one of the script does: nothing is imported for it."""
    function.__module__ = "__main__"
    return function


@by_value
def eat(mebibytes: int) -> int:
    held = []
    for _ in range(mebibytes // 10):
        held.append(b"x" * 10_000_000)
    return len(held)


def test_one_that_eats_memory(hostile: Hostile) -> None:
    message = hostile.fails(TaskOutOfMemory, eat, 10_000)
    assert "eat()" in message
    assert f"{SHARE_MIB} MiB" in message
    assert "--memory" in message
    assert hostile.farm.submit(eat, SHARE_MIB // 3).result(timeout=10) > 0


def test_one_that_asks_for_too_much_memory_at_once(hostile: Hostile) -> None:
    future = hostile.farm.submit(bytearray, 100 * 2**30)
    with pytest.raises(MemoryError) as caught:
        future.result(timeout=10)
    assert any("--memory" in note for note in caught.value.__notes__)


def test_one_whose_processes_eat_memory(hostile: Hostile) -> None:
    def spread() -> None:
        for _ in range(3):
            if os.fork() == 0:
                held = b"x" * (SHARE_MIB * 10**6 // 2)
                signal.pause()
                del held
        signal.pause()

    assert "with what it has started" in hostile.fails(TaskOutOfMemory, spread)


def test_one_that_ends_its_process(hostile: Hostile) -> None:
    assert "exit code 3" in hostile.fails(TaskLost, os._exit, 3)


def test_one_that_crashes(hostile: Hostile) -> None:
    def crash() -> None:
        import ctypes

        ctypes.string_at(0)

    assert "SIGSEGV" in hostile.fails(TaskLost, crash)


def test_one_that_is_killed_by_somebody_else(hostile: Hostile) -> None:
    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    message = hostile.fails(TaskLost, kill)
    assert "SIGKILL" in message
    assert "memory" in message


def test_one_that_prints_without_end(hostile: Hostile) -> None:
    def chatter() -> None:
        while True:
            print("all work and no play" * 100)

    assert "no play" in hostile.fails(TaskTimedOut, chatter, timeout_s=LIMIT_S)


def test_one_that_ignores_being_told_to_end(hostile: Hostile) -> None:
    def stay() -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        while True:
            pass

    hostile.fails(TaskTimedOut, stay, timeout_s=LIMIT_S)


def test_one_that_blocks_in_c(hostile: Hostile) -> None:
    def block() -> None:
        import ctypes

        ctypes.PyDLL(None).sleep(60)

    hostile.fails(TaskTimedOut, block, timeout_s=LIMIT_S)


def test_one_that_leaves_threads_and_processes_behind(hostile: Hostile) -> None:
    def leave() -> int:
        import subprocess

        threading.Thread(target=time.sleep, args=(60,)).start()
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        subprocess.run(["sh", "-c", "sleep 60 & (setsid sleep 60 &)"], check=True)
        reading, writing = os.pipe()
        if os.fork() == 0:  # as daemons do
            os.setsid()
            if os.fork() == 0:
                os.environ.clear()
                os.write(writing, str(os.getpid()).encode())
                os.execve("/bin/sleep", ["sleep", "60"], {})
            os._exit(0)
        daemon = int(os.read(reading, 100))
        os.close(reading)
        os.close(writing)
        return daemon

    daemon = hostile.farm.submit(leave).result(timeout=10)
    eventually(lambda: not Path(f"/proc/{daemon}").exists(), "the daemon ends", 5.0)


def test_one_that_is_killed_and_has_left_a_daemon(hostile: Hostile, tmp_path: Path) -> None:
    def leave(path: str) -> None:
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.write(writing, str(os.getpid()).encode())
                os.execve("/bin/sleep", ["sleep", "60"], {})
            os._exit(0)
        Path(path).write_bytes(os.read(reading, 100))
        os._exit(1)

    hostile.fails(TaskLost, leave, str(tmp_path / "pid"))
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists(), "it went before the answer"


def test_one_that_forks_and_returns_twice(hostile: Hostile) -> None:
    def fork() -> str:
        return "child" if os.fork() == 0 else "parent"

    assert hostile.farm.submit(fork).result(timeout=10) == "parent"


def test_one_that_changes_directory_and_environment(hostile: Hostile) -> None:
    def look() -> tuple[str, dict[str, str]]:
        return os.getcwd(), dict(os.environ)

    def change(_: int = 0) -> str:
        place = tempfile.mkdtemp()
        os.chdir(place)
        os.environ["HOSTILE"] = "yes"
        os.environ.pop("PATH", None)
        os.putenv("PAST", "it")
        os.environ |= {"HOME": "/nowhere"}
        os.rmdir(place)
        return place

    before = hostile.farm.submit(look).result(timeout=10)
    futures = [hostile.farm.submit(each) for each in (change, look, change, look)]
    places = [futures[0].result(timeout=10), futures[2].result(timeout=10)]
    assert [futures[1].result(timeout=10), futures[3].result(timeout=10)] == [before, before]
    assert all("ms-" in place for place in places), "temporary files are in a folder of the child"
    together = list(
        hostile.farm.map(lambda n: look() if n % 2 else change(), range(4), chunksize=4)
    )
    assert together[1::2] == [before, before]


def test_one_that_closes_descriptors(hostile: Hostile) -> None:
    def close() -> str:
        os.closerange(3, 4096)
        os.closerange(0, 3)
        return "closed"

    def silence() -> None:
        sys.stdout.close()
        sys.stderr.close()

    def speak() -> int:
        print("still here", flush=True)
        return os.getpid()

    assert hostile.farm.submit(close).result(timeout=10) == "closed"
    pid = hostile.farm.submit(speak).result(timeout=10)
    for _ in range(30):  # one by one, in a lane, too
        assert hostile.farm.submit(close).result(timeout=10) == "closed"
    hostile.farm.submit(silence).result(timeout=10)
    assert hostile.farm.submit(speak).result(timeout=10) == pid, "the same process goes on"


def test_one_that_closes_all_descriptors(hostile: Hostile) -> None:
    def close() -> None:
        os.closerange(0, 1 << 16)

    assert "closed the descriptors" in hostile.fails(TaskLost, close)


def test_one_that_returns_a_gibibyte(hostile: Hostile) -> None:
    # More than its share: what counts is that it says so.
    hostile.fails(MemoryError, lambda: bytes(2**30))


def test_one_whose_result_is_too_large(hostile: Hostile) -> None:
    message = hostile.fails(NotPicklable, lambda: bytearray(200 * 2**20))
    assert "MiB" in message


def test_one_that_returns_what_cannot_be_pickled(hostile: Hostile) -> None:
    assert "lock" in hostile.fails(NotPicklable, threading.Lock)


def test_one_that_raises_what_cannot_be_pickled(hostile: Hostile) -> None:
    @by_value
    class Held(Exception):
        def __init__(self) -> None:
            super().__init__("held")
            self.lock = threading.Lock()

    def hold() -> NoReturn:
        raise Held

    assert "held" in hostile.fails(TaskFailed, hold)


def test_one_whose_exception_refuses_to_be_reduced(hostile: Hostile) -> None:
    @by_value
    class Stubborn(Exception):
        def __reduce__(self) -> NoReturn:
            os.chdir("/")
            sys.exit(3)

    def resist() -> NoReturn:
        raise Stubborn("no")

    hostile.fails(Exception, resist)


def test_one_that_calls_exit(hostile: Hostile) -> None:
    assert "sys.exit" in hostile.fails(TaskFailed, sys.exit, 3)
