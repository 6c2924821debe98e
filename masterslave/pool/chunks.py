"""Several items in one task: what runs on the slave, and how large a chunk is.

The functions that run there are closures, because cloudpickle sends those by value: a child need
not import this package for them. They carry the name of the user's function into messages.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

__all__ = ["call_each", "chunk_length", "chunks_of", "star_each"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def call_each(function: Callable[[Any], Result]) -> Callable[[Sequence[Any]], list[Result]]:
    """Return a function that calls *function* with each item of a chunk."""

    def run(chunk: Sequence[Any]) -> list[Result]:
        return [function(item) for item in chunk]

    return _named_after(run, function)


def star_each(function: Callable[..., Result]) -> Callable[[Sequence[Any]], list[Result]]:
    """Return a function that calls *function* with each item of a chunk as its arguments."""

    def run(chunk: Sequence[Any]) -> list[Result]:
        return [function(*arguments) for arguments in chunk]

    return _named_after(run, function)


def _named_after(run: Callable[..., Result], function: Callable[..., Any]) -> Callable[..., Result]:
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__qualname__", type(function).__qualname__)
    if isinstance(name, str):
        run.__qualname__ = name
    return run


def chunk_length(items: int, slots: int) -> int:
    """Return the length that makes about four chunks for each slot, as multiprocessing does."""
    return max(1, -(-items // (4 * slots)))


def chunks_of(items: Iterable[Item], length: int) -> Iterator[tuple[Item, ...]]:
    """Cut items into chunks; they are taken when a chunk is asked for."""
    iterator = iter(items)
    while chunk := tuple(islice(iterator, length)):
        yield chunk
