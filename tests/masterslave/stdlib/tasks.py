"""What the tests have slaves do."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from pickle import PicklingError, UnpicklingError
from typing import Any, NoReturn


def mul(x: int, y: int) -> int:
    return x * y


def capture(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    return args, kwargs


def wait_for(path: Path) -> Path:
    while not path.exists():
        threading.Event().wait(0.005)
    return path


def touch(path: Path) -> Path:
    path.touch()
    return path


def touch_and_wait_for(mine: Path, other: Path) -> Path:
    mine.touch()
    return wait_for(other)


def wait_and_raise(path: Path) -> NoReturn:
    wait_for(path)
    raise LookupError("this is an exception")


def crash(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave() -> NoReturn:
    sys.exit(1)


def raise_error(kind: type[BaseException]) -> NoReturn:
    raise kind


def make(kind: type[Any]) -> Any:
    return kind()


class MyObject:
    def my_method(self) -> None: ...


class TouchesWhenDeleted:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_in_script = os.getpid()

    def __del__(self) -> None:
        if os.getpid() != self.is_in_script:
            self.path.touch()


class CrashAtPickle:
    def __reduce__(self) -> Any:
        crash()


class CrashAtUnpickle:
    def __reduce__(self) -> Any:
        return crash, ()


class ExitAtPickle:
    def __reduce__(self) -> Any:
        leave()


class ExitAtUnpickle:
    def __reduce__(self) -> Any:
        return leave, ()


class ErrorAtPickle:
    def __reduce__(self) -> Any:
        raise PicklingError("Error in pickle")


class ErrorAtUnpickle:
    def __reduce__(self) -> Any:
        return raise_error, (UnpicklingError,)
