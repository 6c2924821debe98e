"""Every error of remoteobj, in one tree.

::

    RemoteObjError
    ├── BadInput             (ValueError)       an argument that cannot be one; exit code 2
    │   ├── BadURI                              a URI that cannot be read
    │   └── IdentityUnusable                    files that are no identity of a cluster
    ├── InsecureRefused                         plain TCP without ``insecure=True``; exit code 2
    ├── AddressUnusable      (OSError)          a daemon cannot listen where it was told to
    ├── RuntimeDirUnsafe     (PermissionError)  this user's private directory is not private
    ├── ConnectionLost       (ConnectionError)  carries ``executed``: "no" or "maybe"
    │   └── PeerRefused                         one does not trust the other, or speaks no TLS
    ├── DeadlinePassed       (TimeoutError)     carries ``executed``: "no" or "maybe"
    ├── NotAllowed           (PermissionError)  exposed, but not for a peer of this role
    ├── WireError                               the peer does not speak this protocol
    ├── NotSendable          (TypeError)        a value cannot travel
    ├── ObjectUnknown        (LookupError)      the daemon has no object of this id
    ├── ObjectIdTaken        (ValueError)       the daemon has one already
    ├── DaemonClosed         (RuntimeError)     the daemon serves no longer
    └── RemoteError                             the remote method raised what cannot be rebuilt here

The one question in RPC is *may I call again?*: ``executed == "no"`` says yes, whatever the method
does; ``"maybe"`` says only if doing it twice is harmless.
"""

from __future__ import annotations

from typing import ClassVar, Literal

__all__ = [
    "AddressUnusable",
    "BadInput",
    "BadURI",
    "ConnectionLost",
    "DaemonClosed",
    "DeadlinePassed",
    "Executed",
    "IdentityUnusable",
    "InsecureRefused",
    "InsecureWarning",
    "NotAllowed",
    "NotSendable",
    "ObjectIdTaken",
    "ObjectUnknown",
    "PeerRefused",
    "RemoteError",
    "RemoteObjError",
    "RuntimeDirUnsafe",
    "WireError",
]

Executed = Literal["no", "maybe"]


class RemoteObjError(Exception):
    """Root of every error that remoteobj, nameserver and masterslave raise themselves."""

    _stock_class: ClassVar[str | None] = None
    """What a stock Pyro5 peer is told of it; None: the builtin class that it is derived from."""


class BadInput(RemoteObjError, ValueError):
    """An argument has the wrong form; trying again with the same one is of no use."""


class BadURI(BadInput):
    """The text is no URI of an object."""


class IdentityUnusable(BadInput):
    """The files are no identity: missing, of different clusters, expired, or a key that leaks."""


class InsecureRefused(RemoteObjError):
    """Plain TCP was asked for without saying so with ``insecure=True``."""


class AddressUnusable(RemoteObjError, OSError):
    """The daemon cannot listen on this address: it is in use, or not one of this machine."""


class RuntimeDirUnsafe(RemoteObjError, PermissionError):
    """The directory for this user's sockets belongs to someone else or is open to others."""


class ConnectionLost(RemoteObjError, ConnectionError):
    """The peer could not be reached, or went away.

    ``executed`` is "no" when the call certainly did not run, so it is safe to call again.
    """

    def __init__(self, message: str, *, executed: Executed = "maybe") -> None:
        super().__init__(message)
        self.executed: Executed = executed


class PeerRefused(ConnectionLost):
    """This side refused the other, or was refused by it.

    That is before any call, so ``executed`` is "no"; except where a peer was revoked while it
    answered one. Trying again is of no use until somebody has changed an identity, a clock or a
    program.
    """

    def __init__(self, message: str, *, executed: Executed = "no") -> None:
        super().__init__(message, executed=executed)


class DeadlinePassed(RemoteObjError, TimeoutError):
    """No answer within the time that the caller gave; ``executed`` as in ConnectionLost."""

    def __init__(self, message: str, *, executed: Executed = "maybe") -> None:
        super().__init__(message)
        self.executed: Executed = executed


class NotAllowed(RemoteObjError, PermissionError):
    """A method or property is exposed, but not for callers of this one's role; it did not run."""


class WireError(RemoteObjError):
    """What arrived is not a message of Pyro's protocol 502, or is larger than allowed."""


class NotSendable(RemoteObjError, TypeError):
    """A value cannot be sent, or what was sent cannot be rebuilt here."""


class ObjectUnknown(RemoteObjError, LookupError):
    """The daemon answers, but has no object of this id."""

    _stock_class = "Pyro5.errors.DaemonError"


class ObjectIdTaken(RemoteObjError, ValueError):
    """The daemon already publishes another object under this id."""


class DaemonClosed(RemoteObjError, RuntimeError):
    """The daemon was closed: make a new one."""


class RemoteError(RemoteObjError):
    """A remote method raised an exception whose class is not known here.

    Attributes:
        type_name: Full name of the remote class, such as ``"shop.OutOfStock"``.
        message: Its text.
        remote_traceback: The remote traceback, as Python would have printed it there.
    """

    def __init__(self, type_name: str, message: str, remote_traceback: str = "") -> None:
        super().__init__(type_name, message, remote_traceback)
        self.type_name = type_name
        self.message = message
        self.remote_traceback = remote_traceback

    def __str__(self) -> str:
        return f"{self.type_name}: {self.message}" if self.message else self.type_name


class InsecureWarning(UserWarning):
    """Plain TCP is in use: anyone on the network can read, change and make these calls."""
