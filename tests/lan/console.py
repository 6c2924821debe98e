"""Doing things on the hosts: each has a Python process that evaluates what a test says."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.lan.hosts import Host, Line, Running

__all__ = ["Console"]

SCRIPT = str(Path(__file__).with_name("console_script.py"))


class Console:
    """The Python process of a host; started when it is first needed.

    ``host.serve("0.0.0.0")`` calls the method of the ``Machine`` in ``console_script.py``.
    """

    def __init__(self, host: Host, environment: Mapping[str, str] = {}) -> None:
        self.host = host
        self._environment = dict(environment)
        self._running: Running | None = None
        self._numbers = itertools.count()

    @property
    def running(self) -> Running:
        """The process."""
        if self._running is None:
            self._running = self.host.python("-W", "ignore", SCRIPT, **self._environment)
        return self._running

    def ask(self, code: str, timeout_s: float = 20.0) -> Any:
        """Evaluate an expression there, where the machine is called ``here``."""
        return self.answer(self.tell(code), timeout_s)

    def tell(self, code: str) -> int:
        """Have an expression evaluated; its ``answer`` is asked for later."""
        number = next(self._numbers)
        self.running.say(json.dumps([number, code]))
        return number

    def answer(self, number: int, timeout_s: float = 20.0) -> Any:
        """Wait for what an expression gave."""

        def look(lines: list[Line]) -> dict[str, Any] | None:
            told = (json.loads(line.text) for line in lines if line.text.startswith("{"))
            return next((each for each in told if each["number"] == number), None)

        told = self.running.wait_until(look, f"answer {number}", timeout_s)
        assert "error" not in told, f"on {self.host.name}: {told['error']}"
        return told["value"]

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            given = [*map(repr, args), *(f"{key}={value!r}" for key, value in options.items())]
            return self.ask(f"here.{name}({', '.join(given)})")

        return call

    def kill(self) -> None:
        """Kill the process, which can say no goodbye."""
        self.running.process.kill()
        self.running.process.wait()
