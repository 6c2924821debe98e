"""A script that is killed, and started again: nothing is lost, and nothing done is done again."""

from __future__ import annotations

from pathlib import Path

from tests.masterslave.journaled.kills import run_with_kills


def test_a_script_that_is_killed_again_and_again_comes_to_the_same_answer(tmp_path: Path) -> None:
    story = run_with_kills(tmp_path, tasks=400, kills=5, seed=1, pause_s=0.004)
    assert story.kills == 5
    assert story.answer == sum(number * number for number in range(400))
    assert story.ran_again == []
    assert "results were in" in story.told[-1]
