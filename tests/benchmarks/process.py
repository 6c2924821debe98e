"""Starts the processes of servers and clients, and ends them, whatever they do."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

__all__ = ["Failed", "Server", "run_clients", "shorten"]

ROOT = Path(__file__).parents[2]
_START_S = 15.0


class Failed(Exception):
    """A measurement that gave no number; its text says why."""


def shorten(text: str) -> str:
    """Return one line of it, without the paths and ports of this machine."""
    words = re.sub(r"\S*/\S*/\S*|\S+:\d{4,5}\b", "...", " ".join(text.split()))
    return words if len(words) <= 100 else words[:97] + "..."


def _start(module: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _end(process: subprocess.Popen[str], patience_s: float = 0.0) -> None:
    with contextlib.suppress(OSError):
        assert process.stdin
        process.stdin.close()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stdout
    process.stdout.close()


def _line(process: subprocess.Popen[str], what: str) -> str:
    alarm = threading.Timer(_START_S, process.kill)
    alarm.start()
    try:
        assert process.stdout
        line = process.stdout.readline().strip()
    finally:
        alarm.cancel()
    if not line:
        raise Failed(f"{what} did not start, or not within {_START_S:g} s")
    return line


class Server:
    """One system, serving in a process of its own."""

    def __init__(self, system: str, family: str, core: str) -> None:
        self._arguments = (system, family, core)
        self.start()

    def start(self) -> None:
        self._process = _start("serve", *self._arguments)
        try:
            self.address = _line(self._process, "the server")
        except Failed:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def restart(self) -> None:
        """Replace it by a fresh one: a client that was killed may have left it at work."""
        self.close()
        self.start()

    def close(self) -> None:
        _end(self._process, 3.0)


def run_clients(jobs: list[dict[str, Any]], limit_s: float) -> list[dict[str, Any]]:
    """Run fresh client processes side by side; return what each of them measured.

    Raises:
        Failed: One of them failed, or took longer than *limit_s* seconds.
    """
    clients = [_start("client") for _ in jobs]
    alarm = threading.Timer(limit_s, lambda: [each.kill() for each in clients])
    try:
        for client, job in zip(clients, jobs, strict=True):
            assert client.stdin
            client.stdin.write(json.dumps(job) + "\n")
            client.stdin.flush()
        for client in clients:
            _line(client, "a client")
        alarm.start()
        for client in clients:
            assert client.stdin
            client.stdin.write(f"{time.time()}\n")
            client.stdin.flush()
        answers = []
        for client in clients:
            assert client.stdout
            line = client.stdout.readline()
            if not line:
                raise Failed(f"took longer than {limit_s:g} s")
            answers.append(json.loads(line))
    finally:
        alarm.cancel()
        for client in clients:
            _end(client, 1.0)
    for answer in answers:
        if "fault" in answer:
            raise Failed(answer["fault"])
    return answers
