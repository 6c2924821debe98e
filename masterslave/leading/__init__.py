"""Which master acts for a farm that has a standby: the lease that it holds at a name server.

The rules, and the promise that no two masters act at once, are in ``nameserver.leadership``.
"""

from masterslave.leading.arbiter import Arbiter, choose_arbiter
from masterslave.leading.leading import Leading

__all__ = ["Arbiter", "Leading", "choose_arbiter"]
