"""The end of an executor, and of Python: CPython's test_shutdown.py."""

from __future__ import annotations

import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from masterslave import Farm, wait
from tests.conftest import eventually, processes_of
from tests.masterslave.stdlib.tasks import touch, touch_and_wait_for

PATIENCE_S = 10


def run_script(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    script = folder / "script.py"
    script.write_text(code.replace("FOLDER", repr(str(folder))), encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )


def test_run_after_shutdown() -> None:
    farm = Farm("stdlib", local_slaves=0)
    farm.shutdown()
    with pytest.raises(RuntimeError):
        farm.submit(pow, 2, 5)
    with pytest.raises(RuntimeError):
        farm.map(pow, [2], [5])


def test_interpreter_shutdown(tmp_path: Path) -> None:
    """What was submitted is done before Python ends."""
    done = run_script(
        tmp_path,
        """if True:
        from pathlib import Path
        from masterslave import Farm
        farm = Farm("stdlib", local_slaves=1)
        farm.submit(Path(FOLDER, "apple").touch)
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "apple").exists()


def test_submit_after_interpreter_shutdown(tmp_path: Path) -> None:
    done = run_script(
        tmp_path,
        """if True:
        import atexit
        @atexit.register
        def run_last():
            try:
                farm.submit(id, None)
            except RuntimeError:
                print("runtime-error")
                raise
        from masterslave import Farm
        farm = Farm("stdlib", local_slaves=1)
        farm.submit(id, 42).result()
        """,
    )
    assert done.stdout.strip() == "runtime-error"
    assert "was shut down" in done.stderr


def test_shutdown_waits_for_all() -> None:  # issue 12364
    farm = Farm("stdlib", local_slaves=2)
    futures = [farm.submit(abs, -number) for number in range(50)]
    farm.shutdown()
    assert [future.result(timeout=0) for future in futures] == list(range(50))


def test_cancel_futures(tmp_path: Path) -> None:
    farm, go, started = Farm("stdlib", local_slaves=2), tmp_path / "go", tmp_path / "started"
    futures = [farm.submit(touch_and_wait_for, started, go) for _ in range(50)]
    eventually(started.exists, "some run")
    farm.shutdown(wait=False, cancel_futures=True)
    go.touch()
    assert wait(futures, timeout=PATIENCE_S).not_done == set()
    cancelled = [future for future in futures if future.cancelled()]
    assert len(cancelled) > 20
    others = [future for future in futures if not future.cancelled()]
    assert others
    assert {future.result(timeout=0) for future in others} == {go}
    farm.shutdown()


def test_shutdown_without_waiting_does_not_hang_at_exit(tmp_path: Path) -> None:  # gh-83386
    done = run_script(
        tmp_path,
        """if True:
        from pathlib import Path
        from masterslave import Farm
        farm = Farm("stdlib", local_slaves=1)
        farm.submit(Path(FOLDER, "apple").touch)
        farm.shutdown(wait=False)
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "apple").exists()


def test_shutdown_without_waiting_may_cancel(tmp_path: Path) -> None:  # gh-116682
    done = run_script(
        tmp_path,
        """if True:
        from pathlib import Path
        from masterslave import Farm
        farm = Farm("stdlib", local_slaves=1)
        farm.submit(Path(FOLDER, "apple").touch)
        farm.shutdown(wait=False, cancel_futures=True)
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_shutdown_after_a_cancelled_future() -> None:  # gh-94440
    farm = Farm("stdlib", local_slaves=1)
    assert farm.submit(int).result(PATIENCE_S) == 0
    farm.submit(int).cancel()
    farm.shutdown(wait=True)


def test_context_manager_shutdown(own_machine: Path) -> None:
    with Farm("stdlib", local_slaves=2) as farm:
        assert list(farm.map(abs, range(-5, 5))) == [5, 4, 3, 2, 1, 0, 1, 2, 3, 4]
        assert processes_of(own_machine)
    eventually(lambda: not processes_of(own_machine), "its processes have ended")


def test_shutdown_no_wait(own_machine: Path) -> None:
    farm = Farm("stdlib", local_slaves=2)
    results = farm.map(abs, range(-5, 5))
    farm.shutdown(wait=False)
    assert list(results) == [5, 4, 3, 2, 1, 0, 1, 2, 3, 4]
    eventually(lambda: not processes_of(own_machine), "its processes end")


def test_del_shutdown(own_machine: Path) -> None:
    farms = [Farm("stdlib", local_slaves=1)]
    reference = weakref.ref(farms[0])
    results = farms[0].map(abs, range(-5, 5))
    try:
        farms.clear()
        assert list(results) == [5, 4, 3, 2, 1, 0, 1, 2, 3, 4]
        eventually(lambda: not processes_of(own_machine), "its processes end", timeout_s=1)
    finally:
        left = reference()
        if left is not None:
            left.shutdown()


def test_shutdown_twice(tmp_path: Path) -> None:
    with Farm("stdlib", local_slaves=1) as farm:
        future = farm.submit(touch, tmp_path / "one")
        farm.shutdown()
        assert future.done()
        farm.shutdown(wait=False)
