"""When an attached script is told what its tasks wait for."""

from __future__ import annotations

from masterslave.farm.attached.waiting import Waiting


def test_it_is_said_once_when_tasks_have_waited_for_some_seconds() -> None:
    waiting = Waiting()
    said = [(now, waits) for now, waits in [
        (0, ""), (1, "1 task waits"), (3, "1 task waits"), (4, "2 tasks wait"), (9, "2 tasks wait"),
        (10, ""), (11, "1 task waits"), (12, ""), (13, "1 task waits"), (17, "1 task waits"),
    ] if waiting.is_to_be_said(waits, now)]  # fmt: skip
    assert said == [(4, "2 tasks wait"), (17, "1 task waits")]
