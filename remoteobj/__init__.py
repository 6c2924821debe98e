"""Remote objects: publish a class on one machine, call it on another as if it were local.

>>> from remoteobj import Daemon, Proxy, expose
>>> @expose
... class Warehouse:
...     def stock(self, item: str) -> int:
...         return {"bolt": 12}[item]
>>> with Daemon() as daemon:
...     uri = daemon.register(Warehouse(), "warehouse")
...     daemon.start()
...     with Proxy(uri) as warehouse:
...         warehouse.stock("bolt")
12
"""

from remoteobj._pyro import behavior, oneway
from remoteobj.callers import THIS_MACHINE, Peer, current_caller, current_peer, on_disconnect
from remoteobj.client.items import RemoteItems
from remoteobj.daemon import Daemon, DaemonStatistics
from remoteobj.deferred import DeferredReply
from remoteobj.errors import (
    AddressUnusable,
    BadInput,
    BadURI,
    ConnectionLost,
    DaemonClosed,
    DeadlinePassed,
    IdentityUnusable,
    InsecureRefused,
    InsecureWarning,
    NotAllowed,
    NotSendable,
    ObjectIdTaken,
    ObjectUnknown,
    PeerRefused,
    RemoteError,
    RemoteObjError,
    RuntimeDirUnsafe,
    WireError,
)
from remoteobj.exposing import expose
from remoteobj.identity import Identity
from remoteobj.proxy import Proxy, batch, options, release
from remoteobj.settings import Settings
from remoteobj.uri import URI

__all__ = [
    "THIS_MACHINE",
    "URI",
    "AddressUnusable",
    "BadInput",
    "BadURI",
    "ConnectionLost",
    "Daemon",
    "DaemonClosed",
    "DaemonStatistics",
    "DeadlinePassed",
    "DeferredReply",
    "Identity",
    "IdentityUnusable",
    "InsecureRefused",
    "InsecureWarning",
    "NotAllowed",
    "NotSendable",
    "ObjectIdTaken",
    "ObjectUnknown",
    "Peer",
    "PeerRefused",
    "Proxy",
    "RemoteError",
    "RemoteItems",
    "RemoteObjError",
    "RuntimeDirUnsafe",
    "Settings",
    "WireError",
    "batch",
    "behavior",
    "current_caller",
    "current_peer",
    "expose",
    "on_disconnect",
    "oneway",
    "options",
    "release",
]
