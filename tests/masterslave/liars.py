"""Slaves that speak by hand, and may lie."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from masterslave import Farm
from remoteobj import release
from tests.masterslave.test_conversation import SHORT, ByHand

__all__ = ["Touch", "meet"]


class _Over(Exception):
    """Leaves a farm's block without waiting for what is open."""


@pytest.fixture
def meet() -> Iterator[Callable[..., tuple[Farm, ByHand]]]:
    """Make a farm, and a slave of it that speaks by hand."""
    with contextlib.ExitStack() as stack:

        def meet_by_hand(**options: Any) -> tuple[Farm, ByHand]:
            stack.enter_context(contextlib.suppress(_Over))
            farm = stack.enter_context(Farm("test", local_slaves=0, settings=SHORT, **options))
            slave = ByHand(farm, "liar")
            stack.callback(release, slave.door)
            return farm, slave

        with contextlib.suppress(_Over), stack:
            yield meet_by_hand
            raise _Over


class Touch:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)

    @classmethod
    def pickled(cls, path: Path) -> bytes:
        """Return what leaves this file."""
        return pickle.dumps(cls(path))
