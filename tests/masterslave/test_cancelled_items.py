"""Items that are cancelled while their chunk is held ahead: they do not start, the others do."""

from __future__ import annotations

from pathlib import Path

from masterslave import Farm, FarmSettings
from masterslave.master.decisions import Decisions
from masterslave.scheduler import Feeding
from tests.conftest import eventually
from tests.masterslave.shared import wait_for_file


def leave_a_trace(item: tuple[Path, int]) -> int:
    folder, number = item
    if number == 0:
        (folder / "0").touch()
        wait_for_file(folder / "go")
    (folder / str(number)).touch()
    return number


def test_cancelled_items_of_a_chunk_that_is_held_ahead_do_not_run(tmp_path: Path) -> None:
    settings = FarmSettings(feeding=Feeding(feed_ahead_s=60.0))
    with Farm("test", local_slaves=1, settings=settings) as farm:
        list(farm.map(leave_a_trace, [(tmp_path, 99)] * 5))  # it is known how long it takes
        results = farm.map(leave_a_trace, [(tmp_path, n) for n in range(15)], chunksize=5)
        eventually((tmp_path / "0").exists, "the first chunk runs")
        eventually(lambda: farm.slaves[0].held == 15, "the others are held ahead")

        def cancel(decisions: Decisions) -> None:
            (span,) = decisions.book.submissions()
            decisions.cancel([span.number + offset for offset in (6, 7, 14)])

        farm._master.view(cancel)
        eventually(lambda: farm.statistics().handed_out_again == 7, "they are handed out anew")
        (tmp_path / "go").touch()
        assert [next(results) for _ in range(6)] == list(range(6))
        eventually(lambda: farm.statistics().done == 5 + 12, "all others are done")
    ran = {int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()}
    assert ran == {*range(15), 99} - {6, 7, 14}
