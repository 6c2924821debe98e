"""Farms and slaves for the tests: real ones."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

from masterslave import Farm
from tests.masterslave.liars import meet

__all__ = ["meet"]

StartSlave = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def farm() -> Iterator[Farm]:
    """A farm with two local slaves of one slot each."""
    with Farm("test", local_slaves=2) as running:
        yield running


@pytest.fixture
def start_slave(start_script: Callable[..., subprocess.Popen[str]]) -> StartSlave:
    """Start ``masterslave slave --local`` with arguments, in a process of its own."""

    def start(*arguments: str) -> subprocess.Popen[str]:
        return start_script("-m", "masterslave", "slave", "--local", *arguments)

    return start
