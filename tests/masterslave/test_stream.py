"""``imap_unordered`` with items that come slowly, fail, or have no text; and its bar."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from typing import NoReturn

import pytest
import rich
from rich.console import Console

from masterslave import Farm
from tests.masterslave.squares import squares


def test_a_result_does_not_wait_for_items_that_come_slowly() -> None:
    more = threading.Event()

    def slow_items() -> Iterator[int]:
        yield 1
        clock = time.monotonic() + 0.05
        while time.monotonic() < clock:
            pass
        yield 2
        assert more.wait(5), "the third item was asked for before a result was given"
        yield 3

    stream = squares(slow_items())
    assert next(stream) == (1, 1)
    more.set()
    assert list(stream) == [(2, 4), (3, 9)]


def test_items_that_raise_cost_none_that_was_taken_before() -> None:
    def failing_items() -> Iterator[int]:
        yield from range(5)
        raise OSError("the list of items ends here")

    stream = squares(failing_items())
    assert [next(stream)[0] for _ in range(5)] == list(range(5))
    with pytest.raises(OSError, match="ends here"):
        next(stream)
    with pytest.raises(StopIteration):
        next(stream)


def test_within_the_limit() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    stream = squares(items(), limit=3)
    next(stream)
    assert len(taken) <= 3
    assert len(list(stream)) == 99


class NoText:
    def __repr__(self) -> NoReturn:
        raise RuntimeError


def fail(item: object) -> NoReturn:
    raise ValueError("bad item")


def test_an_item_without_a_text_hides_no_error(farm: Farm) -> None:
    with pytest.raises(ValueError, match="bad item") as caught:
        next(farm.imap_unordered(fail, [NoText()]))
    assert caught.value.__notes__ == ["in the task for item a NoText without a repr()"]


def test_items_that_are_none_are_refused_cleanly(farm: Farm) -> None:
    with pytest.raises(TypeError, match="not iterable"):
        farm.imap_unordered(abs, 5)


def test_the_bar_does_not_ask_the_farm_at_every_item(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(rich, "get_console", lambda: Console(file=screen, force_terminal=True))
    asked = []
    words = Farm._slaves_in_words
    monkeypatch.setattr(Farm, "_slaves_in_words", lambda self: asked.append(1) or words(self))
    with Farm("test", local_slaves=1) as farm:
        assert len(list(farm.imap_unordered(abs, range(300), progress=True))) == 300
    assert "300/300" in screen.getvalue()
    assert "1 slave" in screen.getvalue()
    assert len(asked) < 100
