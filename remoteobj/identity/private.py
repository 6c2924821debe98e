"""Files that are this user's alone: checked when they are read, whole whenever they are seen.

A file is written beside its place, flushed to the disk, and renamed: who reads meanwhile, or after
a crash, finds the old one or the new one. Those who change something hold the directory's lock, so
what lies there half-written when the lock is free is a dead process's, and is swept.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from remoteobj.errors import IdentityUnusable
from remoteobj.runtime import LockedFile

__all__ = ["check_private", "locked", "make_private", "read_private", "write_private"]

MAX_FILE_BYTES = 64 * 1024 * 1024
_TEMPORARY = ".new"
_LOCK = ".lock"
_OTHERS_READ_OR_WRITE, _OTHERS_WRITE = 0o077, 0o022


def make_private(directory: Path) -> None:
    """Make a directory, and those above that are missing, with mode 0700; one that is there stays.

    Raises:
        IdentityUnusable: It cannot be made, or :func:`check_private` refuses it.
    """
    missing = [place for place in (directory, *directory.parents) if not place.exists()]
    try:
        for place in reversed(missing):
            place.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise IdentityUnusable(
            f"cannot make {directory} ({error.strerror}): set XDG_CONFIG_HOME to a directory that "
            "you may write to"
        ) from error
    check_private(directory)


def check_private(path: Path, *, is_secret: bool = True) -> bool:
    """Check that a file or directory is this user's, and that others can do nothing with it.

    Args:
        path: It may not be a link.
        is_secret: Whether others may not read it either, or only not change it.
    Returns:
        False: there is none.

    Raises:
        IdentityUnusable: It is somebody else's, a link, or open to others; the message has the
            command that closes it.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise IdentityUnusable(f"cannot read {path}: {error.strerror}") from error
    _refuse_open(path, status, is_secret)
    return True


def _refuse_open(path: Path, status: os.stat_result, is_secret: bool) -> None:
    is_dir = stat.S_ISDIR(status.st_mode)
    if not is_dir and not stat.S_ISREG(status.st_mode):
        raise IdentityUnusable(f"{path} is a link or no file: put the file itself there")
    if sys.platform == "win32":  # ACLs rule there; the profile's folder is the user's own
        return
    if status.st_uid != os.getuid():
        raise IdentityUnusable(
            f"{path} belongs to another account (uid {status.st_uid}, and this is {os.getuid()}): "
            f"run this as that account, 'chown' it, or set XDG_CONFIG_HOME to a directory of yours"
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode & (_OTHERS_READ_OR_WRITE if is_secret else _OTHERS_WRITE):
        can = "read or change" if is_secret else "change"
        closed = "700" if is_dir else "600"
        raise IdentityUnusable(
            f"others can {can} {path} (mode {mode:04o}): run 'chmod {closed} {path}', and leave "
            "the cluster and join again if somebody may have done so"
        )


def read_private(path: Path, *, is_secret: bool = True) -> bytes | None:
    """Return what a file of this user's holds; None: there is none.

    Raises:
        IdentityUnusable: It cannot be read, or :func:`check_private` refuses it.
    Blocks: on the disk.
    """
    try:
        # O_NONBLOCK: a pipe that somebody put there is refused, and not waited for.
        flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with open(path, "rb", opener=lambda name, mode: os.open(name, mode | flags)) as file:
            _refuse_open(path, os.fstat(file.fileno()), is_secret)
            return file.read(MAX_FILE_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        check_private(path, is_secret=is_secret)  # it says more, if it is that
        raise IdentityUnusable(f"cannot read {path}: {error.strerror}") from error


def write_private(path: Path, data: bytes, check: Callable[[Path], None] | None = None) -> None:
    """Replace a file's content at once, with mode 0600; the caller holds the directory's lock.

    Args:
        path: Where it goes.
        data: All that it shall hold.
        check: What refuses the file while it lies beside its place; then the old one stays.
    Raises:
        IdentityUnusable: The disk is full, or the directory may not be written.
    Blocks: on the disk.
    """
    temporary = path.with_name(f"{path.name}.{os.urandom(4).hex()}{_TEMPORARY}")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        if check is not None:
            check(temporary)
        os.replace(temporary, path)
        _flush_directory(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise IdentityUnusable(
            f"cannot write {path} ({error.strerror}); what was there before is still there"
        ) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def locked(directory: Path, *, wait_s: float = 10.0) -> Iterator[None]:
    """Hold the lock of a directory, which processes and threads take in turns; it is made if due.

    Raises:
        IdentityUnusable: Another has held it for all of *wait_s*; or :func:`make_private` says so.
    Blocks: until it is free, at most *wait_s*.
    """
    make_private(directory)
    until = time.monotonic() + wait_s
    while (lock := _acquire(directory / _LOCK)) is None:
        if time.monotonic() >= until:
            raise IdentityUnusable(
                f"another process has been changing {directory} for {wait_s:g} s: end it, or try "
                "again"
            )
        time.sleep(0.01)
    try:
        for left in directory.glob(f"*{_TEMPORARY}"):
            left.unlink(missing_ok=True)
        yield
    finally:
        lock.close()


def _acquire(path: Path) -> LockedFile | None:
    try:
        return LockedFile.acquire(path)
    except OSError as error:
        raise IdentityUnusable(f"cannot write {path.parent}: {error.strerror}") from error


def _flush_directory(directory: Path) -> None:
    if sys.platform == "win32":  # a directory cannot be opened there
        return
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
