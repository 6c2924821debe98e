"""What msgspec raises about bytes that somebody else has written, in one place.

Texts that are no UTF-8, and nesting without end, are none of its own errors.
"""

from __future__ import annotations

import msgspec

__all__ = ["UNREADABLE"]

UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""For ``except``, around every decoding of what came from a network, a file or a process."""
