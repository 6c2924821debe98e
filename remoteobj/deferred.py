"""Answers that come later, from whoever has them."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

__all__ = ["DeferredReply"]


class DeferredReply(Future[Any]):
    """A future that an exposed method may return, and whose answer leaves without a detour.

    The answer to a method that returned a plain ``Future`` is written by a worker of the daemon,
    because whoever sets the result may hold a lock, or have no time. Who sets the result of this
    one writes the answer itself, which spares a change of threads: the value is packed, and sent as
    far as the peer takes it at once; the rest is the daemon's matter, and nobody waits for it.

    Set it without a lock that a destructor, or the packing of the value, might take.
    """
