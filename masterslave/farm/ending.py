"""How a farm ends: closed by who has it, or forgotten by who had it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from masterslave.farm.here.ground import Here
from masterslave.farm.outside import Outside
from masterslave.farm.submitting import Submitter
from masterslave.master.carrier import Carrier
from masterslave.master.shell import Master

if TYPE_CHECKING:
    from masterslave.farm.journaled import Journaled

__all__ = ["end_farm", "end_soon"]


def end_farm(
    ground: Outside | Here, master: Master, carrier: Carrier, journaled: Journaled | None
) -> None:
    """Close the doors, then what is behind them."""
    ground.close_first()
    master.close()
    carrier.close()
    if journaled is not None:
        journaled.close()
    ground.close_last()


def end_soon(pid: int, submitter: Submitter, master: Master, end: Callable[[], None]) -> None:
    """Nobody holds the farm any more: when what was submitted is done, end it.

    Called wherever memory is taken, so it takes no lock.
    """

    def when_done() -> None:
        submitter.take_no_more()
        master.wait_until_answered()
        end()

    if os.getpid() == pid:  # else a fork of the script forgets it: the farm is its parent's
        threading.Thread(target=when_done, name="farm shutdown").start()
