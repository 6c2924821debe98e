"""Handlers for the tests; found from this folder, by slaves that are started in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from masterslave import Slave


class Render(Slave):
    setups = 0

    def setup(self) -> None:
        Render.setups += 1
        self.drawn = 0

    def do_frame(self, number: int, *, scale: int = 1) -> int:
        return number * scale

    def do_count(self) -> tuple[int, int, int]:
        self.drawn += 1
        return os.getpid(), Render.setups, self.drawn

    def do_kind_of(self, value: object) -> str:
        return type(value).__name__

    def do_parts(self, count: int) -> Iterator[int]:
        for number in range(count):
            self.progress(number + 1, count)
            yield number

    def do_fail(self, word: str) -> None:
        raise KeyError(word)

    def do_wrong_inside(self) -> None:
        self.do_frame()

    def do_function(self) -> object:
        return lambda: 1


class Fragile(Slave):
    """Its set-up wants a file, and its teardown makes one."""

    def setup(self) -> None:
        self.folder = Path(os.environ["STUDIO"])
        if not (self.folder / "scene").exists():
            raise FileNotFoundError("there is no scene")

    def do_ping(self) -> str:
        return "pong"

    def teardown(self) -> None:
        (self.folder / "torn down").touch()


class Exits(Slave):
    def setup(self) -> None:
        sys.exit("no licence")

    def do_exit(self) -> None:
        pass


class Twin(Slave):
    def do_frame(self) -> None:
        pass


class Idle(Slave):
    pass


class Async(Slave):
    async def do_wait(self) -> None:
        pass


class Plain:
    def do_nothing(self) -> None:
        pass
