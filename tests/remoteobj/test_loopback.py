"""Where there are no Unix sockets: a port of loopback, and a secret in a file of this user."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from servants import Connect, Desk, StartScript, Warehouse

from remoteobj import (
    THIS_MACHINE,
    URI,
    AddressUnusable,
    ConnectionLost,
    Daemon,
    Peer,
    Settings,
    runtime,
)
from tests import loopback

pytestmark = pytest.mark.usefixtures("no_unix_sockets")
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root gives things to others")


# What it is like.


def test_who_comes_by_it_is_this_user(daemon: Daemon, place: Path, connect: Connect) -> None:
    desk = connect(daemon.uri_of("desk"))
    assert desk.who() == Peer("", "operator", "", THIS_MACHINE)
    large = bytes(3_000_000)
    assert desk.echo(large) == large
    assert daemon.port is None


def test_connections_of_this_user_are_not_counted(connect: Connect) -> None:
    with Daemon(settings=Settings(max_connections_per_peer=2)) as daemon:
        uri = daemon.register(Desk(), "desk")
        daemon.start()
        for number in range(1, 5):  # others share no connection
            assert connect(uri, settings=Settings(call_timeout_s=20 + number)).echo(number)
        assert daemon.statistics().connections == 4


def test_the_file_is_this_users_alone_and_goes_with_its_daemon(own_machine: Path) -> None:
    before = os.umask(0)
    try:
        daemon = Daemon()
    finally:
        os.umask(before)
    path = Path(daemon.location.removeprefix("./u:"))
    port, secret = loopback.place_of(daemon.location)
    with daemon, Daemon() as other:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert loopback.place_of(other.location)[1] != secret
        assert len(secret) == 32
        assert daemon._listener.getsockname() == ("127.0.0.1", port)
    assert not path.exists()


def test_nothing_shows_the_secret(daemon: Daemon, place: Path) -> None:
    _, secret = loopback.place_of(str(place))
    shown = f"{vars(daemon)} {daemon!r}"
    assert secret.hex() not in shown
    assert repr(secret) not in shown


def test_a_file_that_is_there_already_is_never_written(
    own_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    there = runtime.runtime_dir() / "00000000.sock"
    elsewhere = own_machine / "elsewhere"
    there.symlink_to(elsewhere)  # exists() follows it, and finds nothing
    with pytest.raises(AddressUnusable, match="cannot write"):
        Daemon()
    assert not elsewhere.exists()
    there.unlink()


def test_a_file_that_cannot_be_removed_yet_is_swept_later(
    own_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink

    def refuse(path: Path, *args: object) -> None:
        if str(path).endswith(".sock"):
            raise PermissionError(13, "another process reads it")  # on Windows
        unlink(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        Daemon().close()
    assert len(list(own_machine.glob("remoteobj/*"))) == 2
    with Daemon():
        assert len(list(own_machine.glob("remoteobj/*"))) == 2


def test_paths_that_a_uri_cannot_carry_are_escaped(
    own_machine: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    folder = own_machine / "C:" / "Käthe @ 100%41 Doe" / ("long " * 20)
    folder.mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    with Daemon() as daemon:
        uri = daemon.register(Desk(), "desk")
        daemon.start()
        assert connect(URI(str(uri))).who().role == "operator"
        assert runtime.path_of(str(uri.sockname)).parent == folder / "remoteobj"
        assert runtime.is_private_dir(runtime.path_of(str(uri.sockname)).parent)


# Processes in which Python has none.


def test_a_process_without_unix_sockets_calls_and_serves(
    start_script: StartScript, daemon: Daemon, warehouse: Warehouse, connect: Connect
) -> None:
    uri = daemon.register(warehouse, "warehouse")
    process = start_script("-c", loopback.SERVE, PYTHONPATH=loopback.python_path())
    assert process.stdout is not None
    desk = connect(process.stdout.readline().strip())
    assert desk.pid() == process.pid
    assert desk.who().address == THIS_MACHINE
    code = (
        "import socket, sys\n"
        "from remoteobj import Proxy\n"
        "assert not hasattr(socket, 'AF_UNIX')\n"
        "print(Proxy(sys.argv[1]).add(20, 22))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(uri)],
        env={**os.environ, "PYTHONPATH": loopback.python_path()},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert told.stdout == "42\n"
    process.communicate(timeout=20)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_keeps_the_port_of_its_parent_not_alive(
    start_script: StartScript, connect: Connect
) -> None:
    code = loopback.SERVE.replace(
        "sys.stdin.read()",
        "child = os.fork()\nos.write(1, f'{child}\\n'.encode())\nsys.stdin.read()",
    )
    process = start_script("-W", "ignore", "-c", code, PYTHONPATH=loopback.python_path())
    assert process.stdout is not None
    uri = process.stdout.readline().strip()
    told = sorted(int(process.stdout.readline()) for _ in range(2))
    assert told[0] == 0
    desk = connect(uri)
    assert desk.pid() == process.pid
    process.kill()
    process.wait()
    os.kill(told[1], 0)
    try:
        with pytest.raises(ConnectionLost):
            desk.pid()
        with pytest.raises(ConnectionLost, match="has ended"):
            desk.pid()
    finally:
        os.kill(told[1], 9)
    with Daemon():
        pass
