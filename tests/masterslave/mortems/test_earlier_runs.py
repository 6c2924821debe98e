"""What a slave brings of an earlier run of the script, and has raised: it can be run again, too."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.conftest import eventually
from tests.masterslave.journaled.test_inherited import Earlier, earlier
from tests.masterslave.mortems.commands import masterslave, story_of
from tests.masterslave.mortems.victims import prints

__all__ = ["earlier"]


@pytest.mark.parametrize("as_item", [False, True])
def test_what_was_raised_since_then_has_its_arguments(
    earlier: Earlier, tmp_path: Path, as_item: bool
) -> None:
    earlier.end(signal.SIGKILL)
    with earlier.next(60.0) as farm:
        if as_item:
            answers = farm.options(key=lambda text: "the task").map(prints, ["again"])
            eventually(lambda: farm.slaves, "the slave has come with it")
            earlier.open_gate("no star")
            with pytest.raises(ValueError, match="no star"):
                next(answers)
        else:
            future = farm.options(key="the task").submit(prints, "again")
            eventually(lambda: "is at slave" in farm.explain(future), "it has come with it")
            earlier.open_gate("no star")
            assert str(future.exception(20)) == "no star"
    told = story_of(tmp_path / "survey.db", "1:0")
    assert (told["state"], told["arguments"]) == ("raised", "kept")
    assert masterslave("show", str(tmp_path / "survey.db"), "1:0").count("no star") >= 1
