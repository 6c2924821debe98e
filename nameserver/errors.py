"""Every error of nameserver, in one tree below remoteobj's.

::

    RemoteObjError
    └── NamingError                                 something about names went wrong
        ├── NameTaken           (ValueError)        a live record has this name already
        ├── NameUnknown         (LookupError)       no live record has this name
        ├── BadName             (BadInput)          the text is no name
        ├── BadToken            (BadInput)          the text is no token, or no code, to join with
        ├── BadInvitation       (BadInput)          nobody can be invited so
        ├── JoinRefused         (ConnectionError)   this machine cannot join, or not here
        ├── NameServerNotFound  (ConnectionError)   no name server, or it does not answer
        ├── NotLeader           (RuntimeError)      another one leads, or may lead still
        └── StorageFailed       (OSError)           what keeps the names cannot be used
"""

from __future__ import annotations

from remoteobj.errors import BadInput, RemoteObjError

__all__ = [
    "BadInvitation",
    "BadName",
    "BadToken",
    "JoinRefused",
    "NameServerNotFound",
    "NameTaken",
    "NameUnknown",
    "NamingError",
    "NotLeader",
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


class BadToken(NamingError, BadInput):
    """The text is no token or code to join with; it is not repeated, for it may be a secret."""

    is_missing = False
    """Whether there was no text at all."""


class BadInvitation(NamingError, BadInput):
    """Nobody can be invited so: another role, number or time is needed."""


class JoinRefused(NamingError, ConnectionError):
    """This machine cannot join, or not there; the message says why, and what to do."""


class NameServerNotFound(NamingError, ConnectionError):
    """No name server was found in time: start one, or say where it is."""


class NotLeader(NamingError, RuntimeError):
    """A leadership is not given, or not any more; the message says who leads, and what to do."""


class StorageFailed(NamingError, OSError):
    """What keeps a name server's names cannot be used; the message says why, and what to do."""


class UnprovedWarning(UserWarning):
    """A name server could not reach an address that was registered; the message says why."""
