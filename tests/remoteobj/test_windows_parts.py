"""What only Windows has, each in one small function, with a stand-in for what that asks."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import KeysView
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from remoteobj import RuntimeDirUnsafe, runtime
from remoteobj.runtime import LockedFile
from remoteobj.transport import private, sockets


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Pretend to be on Windows; returns where this user's own data is there."""
    profile = tmp_path / "AppData" / "Local"
    profile.mkdir(parents=True)
    monkeypatch.setenv("LOCALAPPDATA", str(profile))
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(sys, "platform", "win32")
    return profile


def test_its_own_unix_sockets_are_not_used(windows: Path) -> None:
    assert hasattr(socket, "AF_UNIX")
    assert not runtime.host_has_unix_sockets()


def test_the_directory_is_below_localappdata(windows: Path) -> None:
    assert runtime.runtime_dir() == windows / "remoteobj"
    assert (windows / "remoteobj").is_dir()


def test_a_directory_elsewhere_is_refused(
    windows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "public"))
    with pytest.raises(RuntimeDirUnsafe):
        runtime.runtime_dir()


def test_a_place_elsewhere_is_refused(windows: Path, tmp_path: Path) -> None:
    private.check_place(str(windows / "remoteobj" / "a.sock"))
    for path in (tmp_path / "a.sock", windows / ".." / "a.sock", tmp_path / "AppData" / "Localx"):
        with pytest.raises(RuntimeDirUnsafe, match="LOCALAPPDATA"):
            private.check_place(str(path))
    (windows / "out").symlink_to(tmp_path)
    with pytest.raises(RuntimeDirUnsafe, match="LOCALAPPDATA"):
        private.check_place(str(windows / "out" / "a.sock"))


def test_without_a_variable_it_is_in_the_home_directory(tmp_path: Path) -> None:
    assert runtime.is_of_this_profile(Path.home() / "AppData" / "Local" / "x", {})
    assert not runtime.is_of_this_profile(tmp_path, {"LOCALAPPDATA": ""})


class Options:
    """What a socket is asked to be."""

    def __init__(self) -> None:
        self.set: list[tuple[int, int, int]] = []

    def setsockopt(self, *option: Any) -> None:
        self.set.append(option)


def test_a_port_there_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    here: Any = Options()
    there: Any = Options()
    sockets._claim_port(here)
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", -5, raising=False)
    sockets._claim_port(there)
    assert here.set == [(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)]
    assert there.set == [(socket.SOL_SOCKET, -5, 1)]


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> KeysView[int]:
    """Stand in for msvcrt; returns which inodes have a lock."""
    held: dict[int, int] = {}

    def locking(fd: int, _mode: int, count: int) -> None:
        assert count == 1
        # What is locked there cannot be read by others, nor written.
        assert os.lseek(fd, 0, os.SEEK_CUR) > 1_000_000
        inode = os.fstat(fd).st_ino
        if inode in held:
            raise PermissionError(13, "locked")
        held[inode] = fd

    real_close, real_unlink = os.close, os.unlink

    def close(fd: int) -> None:
        for inode in [inode for inode, holder in held.items() if holder == fd]:
            del held[inode]
        real_close(fd)

    def unlink(path: Any, *args: Any, **options: Any) -> None:
        if os.stat(path).st_ino in held:
            raise PermissionError(13, "it is open")
        real_unlink(path, *args, **options)

    monkeypatch.setattr(
        runtime, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2), raising=False
    )
    monkeypatch.setattr(os, "close", close)
    monkeypatch.setattr(os, "unlink", unlink)
    monkeypatch.delattr(os, "pwrite")
    return held.keys()


def test_a_lock_there_has_one_holder_and_its_file_goes_with_it(
    windows: Path, locked: KeysView[int]
) -> None:
    path = windows / "x.lock"
    first = LockedFile.acquire(path)
    assert first is not None
    assert LockedFile.acquire(path) is None
    first.write(b"a long record")
    first.write(b"short")
    assert path.read_bytes() == b"short"
    first.remove()
    first.remove()
    assert not path.exists()
    assert not locked


def test_a_file_that_another_one_has_open_stays_and_is_swept_later(
    windows: Path, locked: KeysView[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = windows / "x.lock"
    first = LockedFile.acquire(path)
    assert first is not None
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", _refuse)
        first.remove()
    assert path.exists()
    again = LockedFile.acquire(path)
    assert again is not None
    again.remove()
    assert not path.exists()


def _refuse(*_: Any, **__: Any) -> None:
    raise PermissionError(13, "it is open")
