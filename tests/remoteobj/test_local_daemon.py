"""The default daemon: a Unix socket that only this user can reach, and that dies with its owner."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from servants import Connect, StartScript, Warehouse

from remoteobj import AddressUnusable, ConnectionLost, Daemon, Proxy, RuntimeDirUnsafe
from remoteobj.runtime import LockedFile, runtime_dir

SERVE = """
import os, sys
from remoteobj import Daemon, expose

@expose
class Shop:
    def pid(self):
        return os.getpid()

daemon = Daemon()
uri = daemon.register(Shop(), "shop")
daemon.start()
"""


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_directory_and_socket_are_this_users_alone(daemon: Daemon) -> None:
    before = os.umask(0)
    try:
        with Daemon() as other:
            path = Path(other.location.removeprefix("./u:"))
            assert mode_of(path) == mode_of(path.with_suffix(".lock")) == 0o600
    finally:
        os.umask(before)
    assert mode_of(runtime_dir()) == 0o700
    assert daemon.port is None


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o702])
def test_a_directory_that_others_may_enter_is_refused(own_machine: Path, mode: int) -> None:
    (own_machine / "remoteobj").mkdir()
    (own_machine / "remoteobj").chmod(mode)
    with pytest.raises(RuntimeDirUnsafe, match=r"remoteobj is not a directory.*chmod 700"):
        Daemon()


def test_a_link_is_refused(own_machine: Path) -> None:
    (own_machine / "elsewhere").mkdir(mode=0o700)
    (own_machine / "remoteobj").symlink_to(own_machine / "elsewhere")
    with pytest.raises(RuntimeDirUnsafe, match="not a directory of this user alone"):
        Daemon()


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give away")
def test_somebody_elses_directory_is_refused(own_machine: Path) -> None:
    (own_machine / "remoteobj").mkdir(mode=0o700)
    os.chown(own_machine / "remoteobj", 12345, -1)
    with pytest.raises(RuntimeDirUnsafe, match="XDG_RUNTIME_DIR"):
        Daemon()


def test_a_file_in_its_place_is_named(own_machine: Path) -> None:
    (own_machine / "remoteobj").touch()
    with pytest.raises(RuntimeDirUnsafe, match=r"cannot make .*remoteobj"):
        Daemon()


@pytest.mark.parametrize(("name", "words"), [("a b", "space"), ("a:b", "':'"), ("a" * 99, "long")])
def test_a_path_that_no_uri_or_socket_can_carry_is_named(
    own_machine: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(own_machine / name))
    with pytest.raises(AddressUnusable, match=f"{words}.*XDG_RUNTIME_DIR"):
        Daemon()


def test_a_relative_xdg_runtime_dir_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "here")
    monkeypatch.setattr("tempfile.tempdir", os.environ.get("TMPDIR", "/tmp"))
    assert runtime_dir().is_absolute()


def test_what_a_killed_process_left_is_swept(start_script: StartScript) -> None:
    process = start_script("-c", SERVE + "print(daemon.location, flush=True); sys.stdin.read()")
    assert process.stdout is not None
    left = Path(process.stdout.readline().strip().removeprefix("./u:"))
    with Daemon():
        assert left.exists()  # its owner lives
    process.kill()
    process.wait()
    assert left.exists()
    with Daemon() as daemon:
        assert not left.exists()
        assert not left.with_suffix(".lock").exists()
        assert Path(daemon.location.removeprefix("./u:")).exists()


FORK = r"""
if os.fork() == 0:
    daemon.close()  # must not touch what is the parent's
    os.write(1, f"child {os.getpid()}\n".encode())
    sys.stdin.readline()
    os._exit(0)
os.write(1, f"parent {uri}\n".encode())
sys.stdin.readline()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX")
def test_a_forked_child_keeps_neither_socket_nor_lock_alive(
    start_script: StartScript, connect: Connect
) -> None:
    process = start_script("-W", "ignore", "-c", SERVE + FORK)
    assert process.stdout is not None
    lines = dict(process.stdout.readline().split() for _ in range(2))
    child = int(lines["child"])
    shop = connect(lines["parent"])
    try:
        assert shop.pid() == process.pid
        process.kill()
        process.wait()
        os.kill(child, 0)
        with pytest.raises(ConnectionLost, match="nobody answers") as caught:
            shop.pid()
        assert caught.value.executed == "no"
        with Daemon():  # it sweeps: nobody holds the lock
            assert not Path(str(shop._channel.uri.sockname)).exists()
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_parent_and_child_never_share_a_connection(
    daemon: Daemon, warehouse: Warehouse, connect: Connect
) -> None:
    proxy = connect(daemon.register(warehouse, "warehouse"))
    assert proxy.add(1) == 2
    code = (
        "import os, sys\n"
        "from remoteobj import Proxy\n"
        f"proxy = Proxy({str(daemon.uri_of('warehouse'))!r})\n"
        "assert proxy.add(1) == 2\n"
        "child = os.fork()\n"
        "right = all(proxy.add(n, os.getpid()) == n + os.getpid() for n in range(200))\n"
        "if child == 0: os._exit(not right)\n"
        "assert right and os.waitpid(child, 0)[1] == 0\n"
        "proxy.__exit__()\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=20)
    assert proxy.add(1) == 2


def test_a_lock_has_one_holder(own_machine: Path) -> None:
    held = LockedFile.acquire(own_machine / "x.lock")
    assert held is not None
    assert LockedFile.acquire(own_machine / "x.lock") is None
    held.remove()
    held.remove()
    again = LockedFile.acquire(own_machine / "x.lock")
    assert again is not None
    again.remove()


def test_ctrl_c_ends_serving_though_another_thread_took_the_signal() -> None:
    # As when it comes just before the wait: Python's handler runs only once the main thread wakes.
    def interrupt() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    timer = threading.Timer(0.2, interrupt)
    with Daemon() as daemon:
        timer.start()
        daemon.serve_forever()
        assert "closed" in repr(daemon)
    timer.join()


SERVE_FOREVER = """
from remoteobj import Daemon, expose

@expose
class Clock:
    def hour(self):
        return 12

daemon = Daemon()
print(daemon.register(Clock(), "clock"), flush=True)
daemon.serve_forever()
print("served", daemon)
"""


def test_ctrl_c_ends_a_script_that_serves_without_a_word(
    start_script: StartScript, own_machine: Path
) -> None:
    process = start_script("-c", SERVE_FOREVER)
    assert process.stdout is not None
    with Proxy(process.stdout.readline().strip()) as clock:
        assert clock.hour() == 12
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert output.startswith("served <Daemon ")
    assert "closed" in output
    assert not [*own_machine.glob("remoteobj/*")]


def test_a_socket_that_nobody_serves_any_more_is_told(warehouse: Warehouse) -> None:
    with Daemon() as daemon:
        uri = daemon.register(warehouse)
    with Proxy(uri) as proxy, pytest.raises(ConnectionLost, match="has ended; look its name up"):
        proxy.add(1)


def test_what_pyro_warns_of_is_not_printed(tmp_path: Path) -> None:
    script = """
from remoteobj import Daemon, NotSendable, Proxy, expose

@expose
class Echo:
    def say(self, value):
        return value

with Daemon() as daemon:
    uri = daemon.register(Echo())
    daemon.start()
    with Proxy(uri) as echo:
        try:
            echo.say(lambda: 1)
        except NotSendable:
            print("refused")
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "refused\n", "")
