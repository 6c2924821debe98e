"""What a fork must not tear: another thread's half-done step stays half done in the child."""

from __future__ import annotations

import os
import threading

__all__ = ["whole"]

whole = threading.RLock()
"""Held for moments only: a fork waits for it, so that a child finds these steps done or not begun.

Whoever imports something on the way of a call does it under this lock: Python's own locks of a
module that a thread was importing at a fork are never let go of in the child, where a call would
wait for ever. Re-entrant, since a garbage collection inside it may run anything.
"""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=whole.acquire, after_in_parent=whole.release, after_in_child=whole.release
    )
