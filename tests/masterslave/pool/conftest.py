"""Pools for the tests: multiprocessing's and ours, which have to agree."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from masterslave import Pool
from tests.masterslave.shared import own_machine

__all__ = ["own_machine"]

# Not fork: this process has threads, which Python 3.12 warns of.
KINDS = {"multiprocessing": multiprocessing.get_context("spawn").Pool, "masterslave": Pool}

MakePool = Callable[..., Any]


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Whose pool it is."""
    return str(request.param)


@pytest.fixture(scope="module")
def pool(kind: str) -> Iterator[Any]:
    """A pool of two processes that the tests of a module share."""
    with KINDS[kind](2) as running:
        yield running


@pytest.fixture
def make_pool(kind: str) -> Iterator[MakePool]:
    """Make pools, which end with the test."""
    with ExitStack() as ends:

        def make(*args: Any, **options: Any) -> Any:
            made = KINDS[kind](*args, **options)
            ends.callback(made.join)
            ends.callback(made.terminate)
            return made

        yield make
