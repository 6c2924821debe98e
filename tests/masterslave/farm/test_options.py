"""``farm.options``: priorities, retries, tasks that are not repeated."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from masterslave import Farm, FarmSettings, RetryPolicy, TaskLost
from masterslave.scheduler import Terms
from tests.conftest import eventually
from tests.masterslave.conftest import StartSlave


class Unlucky(Exception):
    """Worth another try."""


def count_in(path: str) -> int:
    """Note a run in a file, one byte each, and return how many there were."""
    with open(path, "ab") as file:
        file.write(b"x")
    return os.path.getsize(path)


def fail_until(path: str, good: int) -> int:
    runs = count_in(path)
    if runs < good:
        raise Unlucky(f"run {runs}")
    return runs


def fail_with(path: str, error: Exception) -> None:
    count_in(path)
    raise error


def note(path: str, word: str) -> None:
    with open(path, "a") as file:
        file.write(word + "\n")


def test_what_raises_is_run_again_as_often_as_is_said(farm: Farm, tmp_path: Path) -> None:
    path = str(tmp_path / "runs")
    assert farm.options(retries=3).submit(fail_until, path, 3).result(timeout=10) == 3
    assert farm.statistics().retried == 2
    with pytest.raises(Unlucky, match="run 5"):
        farm.options(retries=1).submit(fail_until, path, 99).result(timeout=10)


def test_only_what_the_policy_names_is_run_again(farm: Farm, tmp_path: Path) -> None:
    path = tmp_path / "runs"
    careful = farm.options(retries=RetryPolicy(5, on=(Unlucky, OSError)))
    with pytest.raises(ValueError, match="never"):
        careful.submit(fail_with, str(path), ValueError("never")).result(timeout=10)
    assert path.stat().st_size == 1
    with pytest.raises(FileNotFoundError):
        careful.submit(fail_with, str(path), FileNotFoundError("again")).result(timeout=10)
    assert path.stat().st_size == 1 + 6


def test_retries_wait_longer_each_time(farm: Farm, tmp_path: Path) -> None:
    slow = farm.options(retries=RetryPolicy(2, delay_s=0.1, factor=3))
    future = slow.submit(fail_until, str(tmp_path / "runs"), 3)
    eventually(lambda: "is run again in" in farm.explain(future), "the delay is explained")
    assert future.result(timeout=10) == 3
    assert farm.explain(future) == "fail_until() has its answer"


def test_items_are_retried_one_by_one(farm: Farm, tmp_path: Path) -> None:
    paths = [str(tmp_path / str(number)) for number in range(50)]
    for path in paths[10:]:
        Path(path).write_bytes(b"xx")
    again = farm.options(retries=2)
    assert list(again.map(fail_until, paths, [3] * 50)) == [3] * 50
    assert farm.statistics().retried == 20


def test_what_is_more_urgent_goes_first(start_slave: StartSlave, tmp_path: Path) -> None:
    path = str(tmp_path / "order")
    with Farm("test", local_slaves=0) as farm:
        farm.submit(note, path, "usual")
        farm.options(priority=-1).submit(note, path, "last")
        farm.options(priority=5).submit(note, path, "first")
        farm.options(priority=5).submit(note, path, "second")
        start_slave("test", "--slots", "1")
    assert Path(path).read_text().split() == ["first", "second", "usual", "last"]


def test_a_task_that_kills_its_process_is_given_up_with_evidence(farm: Farm) -> None:
    def die(word: str) -> None:
        print(word, flush=True)
        os._exit(7)

    future = farm.options(max_attempts=2).submit(die, "goodbye")
    with pytest.raises(TaskLost) as lost:
        future.result(timeout=20)
    assert len(lost.value.story) == 2
    assert all("exit code 7" in line and "goodbye" in line for line in lost.value.story)
    assert farm.submit(abs, -1).result(timeout=10) == 1, "nothing else is lost by it"


def test_one_item_that_kills_its_process_costs_no_other(farm: Farm) -> None:
    def maybe_die(number: int) -> int:
        if number == 77:
            os._exit(9)
        return number

    results = farm.options(max_attempts=2).imap_unordered(maybe_die, range(300), limit=300)
    seen, notes = set(), []
    while True:
        try:
            seen.add(next(results)[0])
        except StopIteration:
            break
        except TaskLost as error:
            notes += error.__notes__
    assert seen == set(range(300)) - {77}
    assert notes == ["in the task for item 77"]


@pytest.mark.parametrize(
    "make",
    [
        lambda farm: farm.options(retries=-1),
        lambda farm: farm.options(retries=RetryPolicy(1, factor=0.5)),
        lambda farm: farm.options(retries=RetryPolicy(1, delay_s=float("nan"))),
        lambda farm: farm.options(retries=RetryPolicy(1, delay_s=float("inf"))),
        lambda farm: farm.options(retries=RetryPolicy(1, delay_s=10**400)),
        lambda farm: farm.options(retries=1.5),
        lambda farm: farm.options(max_attempts=0),
        lambda farm: farm.options(priority="high"),
        lambda farm: farm.options(timeout=3),
    ],
)
def test_options_that_make_no_sense_are_refused(farm: Farm, make: Callable[[Farm], object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        make(farm)


def test_after_is_named_where_it_is_wrong(farm: Farm) -> None:
    with pytest.raises(TypeError, match="after is a future of this farm, or a list of them, not 5"):
        farm.options(after=5)


def test_a_view_shows_options_as_they_were_given(farm: Farm) -> None:
    first = farm.submit(abs, -1)
    view = farm.options(on="nix", needs={"gpu": 1}, retries=2, timeout_s=3, priority=1)
    shown = repr(view)
    for words in ("on='nix'", "needs={'gpu': 1.0}", "retries=2", "timeout_s=3.0", "priority=1"):
        assert words in shown
    assert "tags" not in shown
    assert "factor" not in shown
    back = repr(view.options(on="", needs={}, timeout_s=float("inf"), after=first))
    for word in ("on=", "needs=", "tags=", "timeout_s="):
        assert word not in back
    assert "after=[" in back
    assert "retries=RetryPolicy(retries=1, delay_s=0.5" in repr(
        farm.options(retries=RetryPolicy(1, 0.5))
    )


def test_many_retries_are_no_number_that_is_too_large() -> None:
    terms = Terms(1, retries=5000, delay_s=0.0, factor=2.0)
    assert terms.pause_s(4999) == 0.0
    assert msgspec.structs.replace(terms, delay_s=1.0).pause_s(4999) == 1e9
    with Farm("test", here=1) as farm:
        with pytest.raises(Unlucky, match="again"):
            farm.options(retries=1100).submit(be_unlucky).result(timeout=60)
        assert farm.submit(abs, -1).result(timeout=10) == 1


def be_unlucky() -> None:
    raise Unlucky("again")


def test_submit_waits_for_room_where_the_settings_limit_it(start_slave: StartSlave) -> None:
    settings = FarmSettings(max_open_tasks=10)
    with Farm("test", local_slaves=0, settings=settings) as farm:
        futures = []

        def submit_all() -> None:
            futures.extend(farm.submit(abs, -number) for number in range(30))

        submitter = threading.Thread(target=submit_all)
        submitter.start()
        eventually(lambda: farm.statistics().submitted == 10, "ten find room")
        start_slave("test")
        submitter.join(timeout=20)
        assert [future.result(timeout=10) for future in futures] == list(range(30))
