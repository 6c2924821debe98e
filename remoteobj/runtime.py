"""This user's private directory on this machine, where sockets and names live.

Its guarantee: only this user (and root) can list, open or create anything in it. It is checked each
time it is asked for, because a directory below ``/tmp`` may have been made by somebody else. On
Windows it is guarded by the ACL that what lies in a user's profile has from there, and what is
checked is that it lies there.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
import sys
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path

from remoteobj.errors import AddressUnusable, RuntimeDirUnsafe

__all__ = [
    "LockedFile",
    "disown_in_child",
    "host_has_unix_sockets",
    "is_of_this_profile",
    "is_private_dir",
    "new_socket_path",
    "path_of",
    "remove_socket",
    "runtime_dir",
    "sockname_of",
]

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_BINARY: int = getattr(os, "O_BINARY", 0)
_LOCKED_AT = 1 << 30  # what is locked on Windows cannot be read by others, so it is nothing

# sun_path holds 108 bytes on Linux and 104 on macOS, with the closing zero.
MAX_SOCKET_PATH_BYTES = 103


def host_has_unix_sockets() -> bool:
    """Tell whether Unix sockets are used here (Linux and macOS: yes; Windows: no).

    Windows has some, which tell nobody whose process is at the other end and carry no descriptors;
    they stay unused, should a later Python offer them.
    """
    return sys.platform != "win32" and hasattr(socket, "AF_UNIX")


def runtime_dir() -> Path:
    """Return this user's private directory, made with mode 0700 where it is missing.

    ``$XDG_RUNTIME_DIR/remoteobj`` where that is set, else ``remoteobj-<uid>`` in the system's
    directory for temporary files; on Windows ``remoteobj`` in ``%LOCALAPPDATA%``.

    Raises:
        RuntimeDirUnsafe: It exists and is somebody else's, a link, or open to others. Remove it, or
            set ``XDG_RUNTIME_DIR`` to a directory of yours with mode 0700.
    """
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if not os.path.isabs(base):  # the XDG specification has such a value ignored
        base = str(_profile(os.environ)) if sys.platform == "win32" else ""
    directory = (
        Path(base, "remoteobj") if base else Path(tempfile.gettempdir(), f"remoteobj-{os.getuid()}")
    )
    try:
        directory.mkdir(mode=0o700, parents=bool(base), exist_ok=True)
    except OSError as error:
        raise RuntimeDirUnsafe(
            f"cannot make {directory} for this user's sockets: {error.strerror}; "
            "set XDG_RUNTIME_DIR to a directory that you may write to"
        ) from error
    if not is_private_dir(directory):
        raise RuntimeDirUnsafe(
            f"{directory} is not a directory of this user alone: remove it or 'chmod 700' it, "
            "or set XDG_RUNTIME_DIR to a directory of yours"
        )
    return directory


def is_private_dir(directory: Path) -> bool:
    """Tell whether *directory* is a real directory of this user that nobody else may enter."""
    try:
        status = os.lstat(directory)
    except OSError:
        return False
    if not stat.S_ISDIR(status.st_mode):
        return False
    if sys.platform == "win32":  # ACLs rule there
        return is_of_this_profile(directory)
    return status.st_uid == os.getuid() and stat.S_IMODE(status.st_mode) & 0o077 == 0


def _profile(environ: Mapping[str, str]) -> Path:
    """Return where Windows has a user's own data that stays on the machine.

    It does not follow the directory for temporary files, which a slave gives each child anew.
    """
    return Path(environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")


def is_of_this_profile(path: str | Path, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether *path* lies, when links are followed, where Windows keeps other users out."""
    return Path(path).resolve().is_relative_to(_profile(environ).resolve())


_NOT_IN_A_URI = re.compile(r"[%:@\s]")
_ESCAPED = re.compile(rb"%([0-9A-F]{2})")


def sockname_of(path: Path) -> str:
    """Return how a URI names a socket: its path.

    Where there are no Unix sockets, what a URI cannot carry is escaped as in web addresses: paths
    of Windows begin with ``C:``, and there are spaces in users' names.
    """
    if host_has_unix_sockets():
        return str(path)
    return _NOT_IN_A_URI.sub(
        lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), path.as_posix()
    )


def path_of(sockname: str) -> Path:
    """Return the path that a URI's ``sockname`` means here."""
    if host_has_unix_sockets():
        return Path(sockname)
    written = os.fsencode(sockname)
    return Path(os.fsdecode(_ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), written)))


class LockedFile:
    """A file that this process holds a lock on; the lock ends with the process, however it ends.

    The kernel's lock is the sign of life: a file that can be locked belongs to nobody any more.
    A forked child closes its copy, so that it does not keep its parent's name alive.
    """

    __slots__ = ("__weakref__", "_fd", "path")

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        disown_in_child(self)

    @classmethod
    def acquire(cls, path: Path) -> LockedFile | None:
        """Open (or make, with mode 0600) and lock *path*; None if another process holds it."""
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o600)
            if not _lock_nowait(fd):
                os.close(fd)
                return None
            # Between open and lock the file may have been swept away, and made anew.
            if _is_same_file(fd, path):
                return cls(path, fd)
            os.close(fd)

    @staticmethod
    def is_held(path: Path) -> bool:
        """Tell whether a process holds the lock of *path*; False as well where none can be seen.

        To find out, a lock that is free is held for a moment.
        """
        try:
            fd = os.open(path, os.O_RDWR | _BINARY)
        except OSError:
            return False
        try:
            return not _lock_nowait(fd)
        finally:
            os.close(fd)

    def write(self, data: bytes) -> None:
        """Replace the file's content."""
        os.ftruncate(self._fd, 0)
        if hasattr(os, "pwrite"):
            os.pwrite(self._fd, data, 0)
        else:  # Windows
            os.lseek(self._fd, 0, os.SEEK_SET)
            os.write(self._fd, data)

    def remove(self) -> None:
        """Delete the file and let go of the lock. Calling it again does nothing."""
        if self._fd < 0:
            return
        if sys.platform == "win32":  # a file that is open, here or elsewhere, stays there
            self.close()
            with contextlib.suppress(OSError):
                self.path.unlink()
            return
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go of the lock and leave the file."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


_disowned: weakref.WeakSet[LockedFile | socket.socket] = weakref.WeakSet()


def disown_in_child(handle: LockedFile | socket.socket) -> None:
    """Have a forked child close its copy of *handle*, which stays its parent's alone.

    Else a child that outlives its parent would keep the name, the port and the connections alive,
    and parent and child would talk across each other on one connection.
    """
    _disowned.add(handle)


def _close_in_child() -> None:
    for handle in list(_disowned):
        handle.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


def _is_same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _lock_nowait(fd: int) -> bool:
    """Take the exclusive lock of an open file; False if another process has it."""
    try:
        if sys.platform == "win32":
            os.lseek(fd, _LOCKED_AT, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def new_socket_path() -> tuple[Path, LockedFile]:
    """Choose a fresh path for a Unix socket, or for the file that stands for it where there are
    none, with a lock beside it that tells whether it lives.

    What dead processes left behind is removed on the way.

    Raises:
        RuntimeDirUnsafe: The directory is not private.
        AddressUnusable: Its path cannot be that of a socket, or the disk is full.
    """
    directory = runtime_dir()
    _sweep_dead_sockets(directory)
    is_socket = host_has_unix_sockets()
    while True:
        path = directory / f"{os.urandom(4).hex()}.sock"
        if is_socket and len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
            raise AddressUnusable(
                f"{path} is too long for a Unix socket ({MAX_SOCKET_PATH_BYTES} bytes); "
                "set XDG_RUNTIME_DIR to a shorter directory"
            )
        if is_socket and any(letter == ":" or letter.isspace() for letter in str(path)):
            raise AddressUnusable(
                f"{str(directory)!r} has a ':' or a space in it, which a URI cannot carry; "
                "set XDG_RUNTIME_DIR to another directory"
            )
        try:
            lock = None if path.exists() else LockedFile.acquire(path.with_suffix(".lock"))
        except OSError as error:
            raise AddressUnusable(f"cannot make a socket in {directory}: {error}") from error
        if lock is not None:
            return path, lock


def _sweep_dead_sockets(directory: Path) -> None:
    for lock_path in directory.glob("*.lock"):
        with contextlib.suppress(OSError):  # what cannot be swept harms nobody
            dead = LockedFile.acquire(lock_path)
            if dead is not None:
                remove_socket(dead)


def remove_socket(lock: LockedFile) -> None:
    """Remove a socket that ``new_socket_path`` has chosen, and its lock.

    What another process reads at this moment cannot be removed on Windows; then the lock's file
    stays as well, and the next daemon sweeps both.
    """
    try:
        lock.path.with_suffix(".sock").unlink(missing_ok=True)
    except OSError:
        lock.close()
    else:
        lock.remove()
