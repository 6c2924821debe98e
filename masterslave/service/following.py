"""What a master has for standbys, in the same daemons as its door."""

from __future__ import annotations

from masterslave.journal.following import Following
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.following import Hello, Poll
from remoteobj import DeferredReply, expose
from remoteobj.callers import current_caller

__all__ = ["FollowDoor"]


class FollowDoor:
    """Exposed under ``FOLLOW_ID``; for members of the cluster, and this user's own processes.

    Args:
        following: Of the journal.
    """

    def __init__(self, following: Following) -> None:
        self._following = following

    @expose
    def meet(self, message: bytes) -> bytes:
        """Say whether a copy may follow (``Hello -> Met``)."""
        return encode(self._following.meet(decode(message, Hello), current_caller().node))

    @expose
    def follow(self, message: bytes) -> DeferredReply:
        """Hear what a copy has, and give it more (``Poll -> Rows``); holds no thread."""
        return self._following.follow(decode(message, Poll), current_caller().node)
