"""Services for the tests: `masterslave master`, in a process of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import StartScript

StartService = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start_service(start_script: StartScript, tmp_path: Path) -> StartService:
    """Start ``masterslave master lab`` with arguments; it serves when this returns."""

    def start(*arguments: str, label: str = "lab") -> subprocess.Popen[str]:
        journal = str(tmp_path / f"{label}.db")
        command = ("-m", "masterslave", "master", label, "--journal", journal)
        service = start_script(*command, *arguments)
        assert service.stdout is not None
        line = service.stdout.readline()
        assert "kept in" in line, (line, service.poll())
        return service

    return start
