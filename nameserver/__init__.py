"""A name for every object: on this machine in a directory, on the network at a name server.

>>> from nameserver import Directory
>>> with Directory() as names:
...     names.register("shop.warehouse", "PYRO:warehouse@127.0.0.1:4711", metadata={"stock"})
...     names.lookup("shop.warehouse").uri
URI('PYRO:warehouse@127.0.0.1:4711')

``locate()`` finds the name server of the network and returns a client with the same methods.
Importing this package teaches ``remoteobj.Proxy`` to look up ``"PYRONAME:shop.warehouse"``.
"""

from typing import TYPE_CHECKING

from nameserver.changes import Event, Revision
from nameserver.client import NameServerClient
from nameserver.directory import Directory
from nameserver.errors import (
    BadName,
    NameServerNotFound,
    NameTaken,
    NameUnknown,
    NamingError,
    NotLeader,
    StorageFailed,
    UnprovedWarning,
)
from nameserver.leadership import Leadership
from nameserver.locate import locate, resolve
from nameserver.record import Names, Record
from nameserver.servers import ServerWatch, watch_for_servers
from nameserver.watching import Watch
from remoteobj.late import late
from remoteobj.proxy import set_name_resolver

if TYPE_CHECKING:
    from nameserver.server import NameServer, NameServerStatistics
    from nameserver.storage import MemoryStorage, SqliteStorage, Storage

__all__ = [
    "BadName",
    "Directory",
    "Event",
    "Leadership",
    "MemoryStorage",
    "NameServer",
    "NameServerClient",
    "NameServerNotFound",
    "NameServerStatistics",
    "NameTaken",
    "NameUnknown",
    "Names",
    "NamingError",
    "NotLeader",
    "Record",
    "Revision",
    "ServerWatch",
    "SqliteStorage",
    "Storage",
    "StorageFailed",
    "UnprovedWarning",
    "Watch",
    "locate",
    "watch_for_servers",
]

set_name_resolver(resolve)

# Whoever looks names up does not need the server, with sqlite, in its memory.
_IN_SERVERS = {
    "MemoryStorage": "nameserver.storage",
    "NameServer": "nameserver.server",
    "NameServerStatistics": "nameserver.server",
    "SqliteStorage": "nameserver.storage",
    "Storage": "nameserver.storage",
}

__getattr__, __dir__ = late(globals(), _IN_SERVERS)
