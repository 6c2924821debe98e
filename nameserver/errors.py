"""Every error of nameserver, in one tree below remoteobj's.

::

    RemoteObjError
    └── NamingError                                 something about names went wrong
        ├── NameTaken           (ValueError)        a live record has this name already
        ├── NameUnknown         (LookupError)       no live record has this name
        ├── BadName             (BadInput)          the text is no name
        ├── NameServerNotFound  (ConnectionError)   no name server, or it does not answer
        └── StorageFailed       (OSError)           what keeps the names cannot be used
"""

from __future__ import annotations

from remoteobj.errors import BadInput, RemoteObjError

__all__ = [
    "BadName",
    "NameServerNotFound",
    "NameTaken",
    "NameUnknown",
    "NamingError",
    "StorageFailed",
    "UnprovedWarning",
]


class NamingError(RemoteObjError):
    """Something about names went wrong; the message says what, and what to do."""

    _stock_class = "Pyro5.errors.NamingError"


class NameTaken(NamingError, ValueError):
    """A live record has this name: choose another name, end its owner, or ask to replace it."""


class NameUnknown(NamingError, LookupError):
    """No live record has this name: register it, or look at the list of names."""


class BadName(NamingError, BadInput):
    """The text is no name: words of letters, digits, ``-`` and ``_``, with dots between them."""


class NameServerNotFound(NamingError, ConnectionError):
    """No name server was found in time: start one, or say where it is."""


class StorageFailed(NamingError, OSError):
    """What keeps a name server's names cannot be used; the message says why, and what to do."""


class UnprovedWarning(UserWarning):
    """A name server could not reach an address that was registered; the message says why."""
