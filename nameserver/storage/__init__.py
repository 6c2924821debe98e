"""Where a name server keeps its names: one contract, and those that keep it.

``MemoryStorage`` ends with its process; ``SqliteStorage`` is a file. Another one is welcome:
``nameserver.testing.check_storage`` tells whether it keeps the contract.
"""

from nameserver.storage.contract import Entry, Kept, Storage
from nameserver.storage.memory import MemoryStorage
from nameserver.storage.sqlite import SqliteStorage

__all__ = ["Entry", "Kept", "MemoryStorage", "SqliteStorage", "Storage"]
