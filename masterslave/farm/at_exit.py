"""What a script leaves open is done before Python ends, as the standard library does it; a fork of
the script leaves its farms alone."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from masterslave.farm.attached.farm import AttachedFarm
    from masterslave.farm.farm import Farm

__all__ = ["open_farms"]

log = logging.getLogger("masterslave")

open_farms: weakref.WeakSet[Farm | AttachedFarm] = weakref.WeakSet()
"""The farms of this process that are not closed."""


def _shut_down_open_farms() -> None:
    """Like the standard library's executors: what was submitted is done before Python ends."""
    for farm in list(open_farms):
        if farm._pid != os.getpid():
            continue  # a fork of the script: the farm is its parent's
        failed = getattr(sys, "last_type", None)
        if failed is KeyboardInterrupt:
            farm._interrupt()
        elif not _threads_can_start():
            log.warning("this Python starts no threads at its end: use 'with Farm(...)' instead")
            farm._interrupt()
        else:
            farm._script_has_failed = failed is not None
            farm.__exit__(None, None, None)


def _leave_to_parent() -> None:
    for farm in list(open_farms):
        farm._submitter.leave_to_parent()


def _threads_can_start() -> bool:
    """Tell whether slaves can still be served: Python 3.12.0 and 3.12.1 start no thread by now."""
    try:
        threading.Thread(target=int).start()
    except RuntimeError:
        return False
    return True


# concurrent.futures registers there too: at atexit's time, Python 3.12 starts no thread any more,
# and a slave that joins then needs one.
getattr(threading, "_register_atexit", atexit.register)(_shut_down_open_farms)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
