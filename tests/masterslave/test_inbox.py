"""What is put into the inbox in a burst: somebody takes it, whoever has emptied it before."""

from __future__ import annotations

from unittest.mock import MagicMock

from masterslave import FarmFuture
from masterslave.farm.options import TaskTerms
from masterslave.master.carrier import Carrier
from masterslave.master.shell import Master
from masterslave.master.submission import Function
from masterslave.settings import FarmSettings

NEVER = FarmSettings(heartbeat_s=1000.0, silence_s=5000.0)
FUNCTION = Function(b"f" * 16, b"pickled", "f", "f")
TERMS = TaskTerms(0)


def test_what_was_taken_before_it_was_announced_hides_nothing_that_comes_after() -> None:
    master = Master(NEVER, Carrier())
    task = FarmFuture(MagicMock(), FUNCTION, TERMS, b"x")
    master.put(task)
    master.view(id)  # a turn of another thread's
    master.look(task)  # the clock is told of what is there no more
    assert master._inbox.is_announced
    master.view(id)  # the clock's turn
    assert not master._inbox.is_announced, "who comes next would not tell it"
    master.close()
