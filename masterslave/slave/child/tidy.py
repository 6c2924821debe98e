"""Puts back what a task has changed of its process, so that the next one finds it as it was.

Directory and environment are put back after each task: who changes them, by ``os``, passes through
here, so that nobody looks where nothing was changed. What a module sets when it is imported stays,
as the module does. Standard streams and processes that were left behind are looked after when the
child has told what it did, since each look takes a microsecond or two.

An initializer changes all this for good: what there is after it is *kept*.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from .limits import lift

__all__ = ["Tidier"]

_LONGEST_S = 1.0
_CAN_LOOK = hasattr(os, "waitid")  # not on macOS before Python 3.13, nor on Windows: untried
_FOR_ANY = os.WEXITED | os.WNOHANG | os.WNOWAIT if _CAN_LOOK else 0
_TRACKERS = (
    ("multiprocessing.resource_tracker", "_resource_tracker", "_pid"),
    ("multiprocessing.forkserver", "_forkserver", "_forkserver_pid"),
    ("joblib.externals.loky.backend.resource_tracker", "_resource_tracker", "_pid"),
    ("loky.backend.resource_tracker", "_resource_tracker", "_pid"),
)
"""Processes that the library keeps for as long as its process lives."""


class Tidier:
    """Looks after what tasks leave behind, once it is installed: in a process that is ours alone.

    Threads: the one that runs tasks.

    Attributes:
        is_changed: Whether a task has changed directory or environment.
    """

    def __init__(self) -> None:
        self.is_changed = False
        self._is_installed = False
        self._directory: str | None = None
        """Where the process was before it was changed."""
        self._variables: dict[str, str | None] = {}
        """What variables were before they were changed."""
        self.renew_streams: Callable[[], None] = lambda: None
        """Makes Python's output streams anew."""
        self._kept: set[int] = set()
        """Processes that an initializer has started."""
        self._streams: list[tuple[int, tuple[int, int]]] = []
        self._open: select.poll | None = None
        """Tells of those that are closed."""
        self._is_restoring = False

    def install(self) -> None:
        """Begin: what there is now is kept."""
        for name in ("chdir", "fchdir"):
            if hasattr(os, name):
                self._pass_through(name, self._note_directory)
        for name in ("putenv", "unsetenv"):
            self._pass_through(name, self._note_variable)
        self._keep_streams()
        self._is_installed = True

    def keep(self) -> None:
        """What there is now stays: an initializer has made it so."""
        if not self._is_installed:
            return
        self._directory, self.is_changed = None, False
        self._variables.clear()
        self._kept.update(_below())
        self._keep_streams()

    def restore(self) -> None:
        """Put directory and environment back."""
        self._is_restoring = True
        try:
            if self._directory is not None:
                with contextlib.suppress(OSError):  # it was removed
                    os.chdir(self._directory)
            for name, value in self._variables.items():
                if value is None:
                    os.environ.pop(name, None)
                    os.unsetenv(name)  # by putenv(), past os.environ
                else:
                    os.environ[name] = value
        finally:
            self._is_restoring = self.is_changed = False
        self._directory = None
        self._variables.clear()

    def look(self) -> None:
        """Mend standard streams, and end processes that were left behind."""
        if self._is_installed:
            for number, (saved, identity) in enumerate(self._streams):
                if _identity(number) != identity:
                    os.dup2(saved, number)
            self._look_at_the_rest()

    def look_briefly(self) -> None:
        """Do the same, but see of the streams only whether they are closed: that is three times as
        fast, for tasks that come one by one.
        """
        if self._open is not None and self._open.poll(0):
            self.look()
        else:
            self._look_at_the_rest()

    def _look_at_the_rest(self) -> None:
        if self._streams and (_is_closed(sys.stdout) or _is_closed(sys.stderr)):
            self.renew_streams()
        try:
            if _CAN_LOOK:
                os.waitid(os.P_ALL, 0, _FOR_ANY)
                self._end_left_behind()
        except ChildProcessError:
            pass

    def _pass_through(self, name: str, note: Callable[[Any], None]) -> None:
        """Have *note* called before a function of ``os``."""
        real = getattr(os, name)

        @functools.wraps(real)
        def noted(*args: Any, **kwargs: Any) -> Any:
            if not self._is_restoring:
                note(args[0] if args else None)
            return real(*args, **kwargs)

        noted.__module__ = "os"
        setattr(os, name, noted)
        for names in (os.supports_fd, os.supports_dir_fd):
            if real in names:
                names.add(noted)

    def _note_directory(self, _: Any) -> None:
        if self._directory is None:
            with contextlib.suppress(OSError):
                self._directory = os.getcwd()
        self.is_changed = True

    def _note_variable(self, name: Any) -> None:
        with contextlib.suppress(TypeError, ValueError):  # the real one says what is wrong
            text = os.fsdecode(name)
            if text not in self._variables and not _is_importing():
                self._variables[text] = os.environ.get(text)
                self.is_changed = True

    def _keep_streams(self) -> None:
        for saved, _ in self._streams:
            os.close(saved)
        self._streams = []
        self._open = select.poll() if hasattr(select, "poll") else None
        for number in range(3):
            identity = _identity(number)
            if identity is None:  # it is closed on purpose
                return
            self._streams.append((lift(os.dup(number)), identity))
            if self._open is not None:
                self._open.register(number, 0)

    def _end_left_behind(self) -> None:
        kept = self._kept | {*_trackers()}
        deadline = time.monotonic() + _LONGEST_S
        told: set[int] = set()
        while time.monotonic() < deadline:
            left = [pid for pid in _below() if pid not in kept]
            if not left:
                break
            for pid in left:
                name = _name_of(pid)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                if name and pid not in told:
                    told.add(pid)
                    _say(f"a task has left process {pid} ({name}) behind: it was ended")
            for pid in left:
                with contextlib.suppress(ChildProcessError):  # not ours yet: of one that has ended
                    os.waitpid(pid, 0)


def _is_closed(stream: Any) -> bool:
    return getattr(stream, "closed", False) is True


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_importing() -> bool:
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _below() -> list[int]:
    """Return the processes below this one (Linux; elsewhere none)."""
    found = [os.getpid()]
    for pid in found:  # which grows meanwhile
        with contextlib.suppress(OSError):  # it has ended
            for thread in os.listdir(f"/proc/{pid}/task"):
                with (
                    contextlib.suppress(OSError),
                    open(f"/proc/{pid}/task/{thread}/children", "rb") as file,
                ):
                    found += [int(each) for each in file.read().split() if int(each) not in found]
    return found[1:]


def _trackers() -> Iterator[int]:
    for module, name, attribute in _TRACKERS:
        pid = getattr(getattr(sys.modules.get(module), name, None), attribute, None)
        if isinstance(pid, int):
            yield pid


def _name_of(pid: int) -> str:
    """Return what a process is called; empty if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            head, _, rest = file.read().rpartition(b")")
    except OSError:
        return ""
    return "" if rest.split()[0] == b"Z" else head.partition(b"(")[2].decode(errors="replace")


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode(errors="replace"))
