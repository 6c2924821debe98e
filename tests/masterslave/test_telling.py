"""What a slave tells who looks at it."""

from __future__ import annotations

import io

from masterslave.cli.telling import Teller
from masterslave.slave.guests import Look


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def look(busy: int = 0, done: int = 0, *labels: str, trouble: float | None = None) -> Look:
    how = None if trouble is None else (trouble, "connection refused")
    return Look(2, busy, done, tuple((label, how) for label in labels), "")


def lines(out: io.StringIO) -> list[str]:
    """Return what was said since the last time, without the hour."""
    text = out.getvalue()
    out.seek(0)
    out.truncate()
    return [line.partition(" ")[2] for line in text.splitlines()]


def test_waits_are_explained_after_a_while_and_more_seldom_then() -> None:
    out = io.StringIO()
    teller = Teller(out, "the drawer")
    said = []
    for second in range(600):
        teller.look(look(), float(second))
        said += [(second, line) for line in lines(out)]
    assert [second for second, _ in said] == [3, 63, 183, 423]
    assert said[0][1] == (
        "no farm found in the drawer: start a script with a Farm; "
        "'masterslave doctor' looks for what is wrong"
    )
    teller.look(look(0, 0, "survey"), 600.0)
    assert lines(out) == ["serves survey; 0 of 2 slots busy; 0 tasks done"]
    teller.look(look(0, 0, "survey", trouble=601.0), 602.0)
    assert lines(out) == []
    teller.look(look(0, 0, "survey", trouble=601.0), 605.0)
    teller.look(look(0, 0, "survey", trouble=601.0), 608.0)
    assert "farm 'survey' does not answer (connection refused): it is tried again" in lines(out)


def test_a_log_gets_a_line_when_something_changes_and_not_for_each_task() -> None:
    out = io.StringIO()
    teller = Teller(out)
    said = []
    for second in range(1, 130):
        teller.look(look(1, second, "survey"), float(second))
        said += [(second, line) for line in lines(out)]
    assert [second for second, _ in said] == [1, 61, 121]
    teller.look(look(0, 130, "survey"), 130.0)
    assert lines(out) == ["serves survey; 0 of 2 slots busy; 130 tasks done"]
    teller.look(look(0, 130, "survey"), 1000.0)
    assert lines(out) == []


def test_a_terminal_has_one_line_that_is_rewritten() -> None:
    out = _Terminal()
    teller = Teller(out)
    teller.look(look(0, 1, "survey"), 1.0)
    teller.look(look(0, 1, "survey"), 2.0)
    assert out.getvalue() == "\r\x1b[Kserves survey; 0 of 2 slots busy; 1 task done"
    teller.say("found it")
    assert out.getvalue().endswith(" found it\nserves survey; 0 of 2 slots busy; 1 task done")
    teller.close()
    assert out.getvalue().endswith("done\n")


def test_a_slave_may_have_nobody_to_tell() -> None:
    teller = Teller(None)
    teller.say("nothing")
    teller.look(look(0, 1, "survey"), 1.0)
    teller.close()
