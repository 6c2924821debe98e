"""In directories of somebody else, or that others may write to, are no names, farms or slaves."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from masterslave import Farm
from masterslave.naming import FarmRecord
from masterslave.slave.agent import Agent
from masterslave.slave.giving import Giver
from nameserver import Directory, NameServerClient
from nameserver.remembered import Memory, Remembered
from remoteobj import URI, Daemon, Proxy, RuntimeDirUnsafe

NOBODY = 65534
Spoil = Callable[[Path], None]


def writable_by(mode: int) -> Spoil:
    return lambda directory: directory.chmod(mode)


def of_somebody_else(mode: int) -> Spoil:
    def give_away(directory: Path) -> None:
        os.chown(directory, NOBODY, NOBODY)
        directory.chmod(mode)

    return give_away


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root gives things to others")
SPOILED = [
    pytest.param(writable_by(0o777), id="world-writable"),
    pytest.param(writable_by(0o1777), id="world-writable and sticky"),
    pytest.param(writable_by(0o770), id="writable by a group"),
    pytest.param(of_somebody_else(0o700), id="somebody else's", marks=needs_root),
    pytest.param(of_somebody_else(0o777), id="somebody else's, and open", marks=needs_root),
]


@pytest.fixture(params=SPOILED)
def spoil(request: pytest.FixtureRequest) -> Spoil:
    made: Spoil = request.param
    return made


def test_nothing_is_served_read_or_remembered_there(own_machine: Path, spoil: Spoil) -> None:
    directory = own_machine / "remoteobj"
    directory.mkdir(mode=0o700)
    Memory("tls", "lab").note(Remembered("192.0.2.1:9", "lab"))
    assert Memory("tls", "lab").recall() is not None
    spoil(directory)
    for use in (
        Daemon,
        Directory,
        lambda: Farm("test", local_slaves=0),
        lambda: Giver(None, identity=None),
    ):
        with pytest.raises(RuntimeDirUnsafe, match=r"chmod 700|XDG_RUNTIME_DIR"):
            use()
    assert Memory("tls", "lab").recall() is None
    Memory("tls", "lab").note(Remembered("192.0.2.2:9", "lab"))
    assert (directory / "located/tls-lab").read_text() == "192.0.2.1:9 lab\n"
    assert sorted(path.name for path in directory.iterdir()) == ["located"]


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[tuple[Path, socket.socket]]:
    """A socket at which somebody waits, in a directory of its own."""
    place = tmp_path / "place"
    place.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "x.sock"))
        listener.listen()
        listener.setblocking(False)
        yield place / "x.sock", listener


def test_nobody_is_called_there(listening: tuple[Path, socket.socket], spoil: Spoil) -> None:
    """Root's own sticky directory is as good as /tmp: for farms it is not good enough."""
    path, listener = listening
    spoil(path.parent)
    said: list[str] = []
    agent = Agent(slots=1, report=said.append)
    door = URI(f"PYRO:masterslave.master@./u:{path}")
    agent.found(FarmRecord("test", "1", door, "here", 1, "x.py"), "this user's directory")
    agent.close()
    assert "refused: its socket is not in a directory of this user alone" in "".join(said)
    if not (path.parent.stat().st_mode & 0o1000 and os.getuid() == 0):
        with closing(NameServerClient(f"./u:{path}")) as client, pytest.raises(RuntimeDirUnsafe):
            client.list()
        with Proxy(f"PYRO:x@./u:{path}") as proxy, pytest.raises(RuntimeDirUnsafe):
            proxy.ring()
    with pytest.raises(BlockingIOError):
        listener.accept()
