"""How a farm ends: closed by who has it, or forgotten by who had it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from masterslave.farm.here.ground import Here
from masterslave.farm.masters import AnyMaster
from masterslave.farm.outside import Outside
from masterslave.farm.submitting import Submitter
from masterslave.master.carrier import Carrier
from masterslave.master.shell import Master

if TYPE_CHECKING:
    from masterslave.farm.journaled import Journaled

__all__ = ["Closing", "drop_open", "end_farm", "end_soon", "out_of_reach"]


class Closing(Protocol):
    """What a farm closes in the end."""

    def close(self) -> None:
        """Write, or say, what is left."""


def end_farm(
    ground: Outside | Here, master: Master, carrier: Carrier, kept: Iterable[Closing | None]
) -> None:
    """Close the doors, then what is behind them."""
    ground.close_first()
    master.close()
    carrier.close()
    for one in kept:
        if one is not None:
            one.close()
    ground.close_last()


def drop_open(ground: Outside | Here, master: Master, journaled: Journaled | None) -> str:
    """The script is interrupted: everything open is cancelled; returns what is said of it.

    With a journal only for the script: what slaves have they keep, for the script that is started
    next. So the doors are closed before, and nobody is told that the farm has ended.
    """
    if journaled is None:
        dropped = master.cancel_all()
        return f"and their results kept, {dropped} under way are dropped" if dropped else ""
    master.conversation.fall_silent()  # slaves are left, and not lost, as their connections end
    ground.shut()
    dropped = master.abandon()
    kept = f"and their results are in {journaled.path}"
    return f"{kept}; start the script again for the other {dropped}" if dropped else ""


def end_soon(pid: int, submitter: Submitter, master: AnyMaster, end: Callable[[], None]) -> None:
    """Nobody holds the farm any more: when what was submitted is done, end it.

    Called wherever memory is taken, so it takes no lock.
    """

    def when_done() -> None:
        submitter.take_no_more()
        master.wait_until_answered()
        end()

    if os.getpid() == pid:  # else a fork of the script forgets it: the farm is its parent's
        threading.Thread(target=when_done, name="farm shutdown").start()


def out_of_reach(interrupt: Callable[[], None]) -> None:
    """Do this in a thread of its own, which Ctrl-C does not hit: another one ends the wait."""
    if threading.current_thread() is threading.main_thread():
        interrupting = threading.Thread(target=interrupt, name="farm shutdown")
        with contextlib.suppress(RuntimeError):  # no thread can be started
            interrupting.start()
            interrupting.join()
            return
    interrupt()
