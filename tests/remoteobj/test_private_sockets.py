"""Unix sockets are one user's: directory, socket and process are looked at, at both ends."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from raw_peers import RawDaemon

from remoteobj import Daemon, PeerRefused, Proxy, RuntimeDirUnsafe, expose
from remoteobj.transport import private

NOBODY = 65534


@expose
class Clock:
    def hour(self) -> int:
        return 12


@pytest.fixture
def place(tmp_path: Path) -> Path:
    directory = tmp_path / "place"
    directory.mkdir(mode=0o700)
    return directory


def refuses(path: Path, words: str) -> None:
    called: list[object] = []
    with RawDaemon(called.append, str(path)) as daemon:
        with pytest.raises(RuntimeDirUnsafe, match=words):
            Proxy(daemon.uri).hour()
        assert not called
        assert daemon.accepted == 0


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o722, 0o1777])
def test_a_directory_that_others_may_write_to_is_refused(place: Path, mode: int) -> None:
    path = place / "a.sock"
    place.chmod(mode)
    if mode & 0o1000 and os.getuid() == 0:
        place.chmod(0o777)  # root's own sticky directory is as good as /tmp
    refuses(path, "not this user's alone")


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root gives things to others")


@needs_root
def test_a_directory_of_somebody_else_is_refused(place: Path) -> None:
    os.chown(place, NOBODY, NOBODY)
    refuses(place / "a.sock", "not this user's alone")


@needs_root
def test_a_socket_of_somebody_else_is_refused(place: Path) -> None:
    path = place / "a.sock"
    with RawDaemon(lambda _: None, str(path)) as daemon:
        os.chown(path, NOBODY, NOBODY)
        with pytest.raises(RuntimeDirUnsafe, match="belongs to another user"):
            Proxy(daemon.uri).hour()


def test_a_sticky_directory_of_root_will_do(place: Path) -> None:
    private.check_place("/tmp/no-such.sock")
    private.check_place(str(place / "no-such.sock"))


def test_a_process_of_somebody_else_is_refused_by_the_caller(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = daemon.register(Clock(), "clock")
    monkeypatch.setattr(private, "peer_uid", lambda _: NOBODY)
    with pytest.raises(PeerRefused, match="user 65534's") as hit:
        Proxy(uri).hour()
    assert hit.value.executed == "no"


@needs_root
def test_a_process_of_somebody_else_is_refused_by_the_daemon(
    daemon: Daemon,
) -> None:
    path = Path(daemon.location.removeprefix("./u:"))
    opened = [path.parent, *path.parent.parents]
    before = [(each, each.stat().st_mode) for each in opened if each.stat().st_mode & 0o001 == 0]
    try:
        for each, mode in before:
            each.chmod(mode | 0o055)
        path.chmod(0o777)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                sock = socket.socket(socket.AF_UNIX)
                sock.settimeout(5.0)
                sock.connect(str(path))
                os.write(write, b"closed" if sock.recv(100) == b"" else b"served")
            except BaseException as error:
                os.write(write, repr(error).encode())
            finally:
                os._exit(0)
        os.close(write)
        told = os.read(read, 200)
        os.close(read)
        os.waitpid(child, 0)
    finally:
        for each, mode in before:
            each.chmod(mode & 0o7777)
    assert told == b"closed" or b"ConnectionReset" in told
    assert daemon.statistics().connections_refused == 1
