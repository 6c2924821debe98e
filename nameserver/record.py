"""What a name stands for, which names there may be, and what every place that holds names can do.

The rules of a name: words of ``A-Z a-z 0-9 _ -`` with single dots between them, 1 to 200
characters together: ``survey``, ``lab3.camera``, ``Pyro.NameServer``. Upper and lower case differ.
So a name is a file name on every system and a word of a command line, and needs no quoting.

What a record may hold has limits too, because a name server keeps what anybody sends: a URI has at
most 1000 characters, and the metadata are at most 100 texts of 500 characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from nameserver.errors import BadName, NamingError
from remoteobj.errors import BadURI
from remoteobj.unreadable import UNREADABLE
from remoteobj.uri import URI

__all__ = [
    "MAX_METADATA",
    "MAX_METADATA_LENGTH",
    "MAX_NAME_LENGTH",
    "MAX_URI_LENGTH",
    "NAME_SERVER",
    "RESERVED_PREFIX",
    "Names",
    "Record",
    "check_metadata",
    "check_name",
    "make_record",
]

NAME_SERVER = "Pyro.NameServer"
"""The name server's own name, and its object id: the one that stock Pyro5 clients ask for."""

RESERVED_PREFIX = "Pyro."
"""Names that begin so are a name server's own."""

MAX_NAME_LENGTH = 200
"""Characters of a name."""

MAX_URI_LENGTH = 1000
"""Characters of a URI."""

MAX_METADATA = 100
"""How many texts the metadata of one name may be."""

MAX_METADATA_LENGTH = 500
"""Characters of one of them."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Any]).decode
_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True, slots=True)
class Record:
    """A name and what it stands for."""

    name: str
    uri: URI
    metadata: frozenset[str] = frozenset()
    """Short texts by which records are told apart, such as ``{"farm"}``."""

    pid: int | None = None
    """Process that owns the record, where it lives in this machine's directory; else None."""

    lease_s: float | None = None
    """How long a name server keeps it without a word of its owner, in seconds; None: for ever."""

    since: float | None = None
    """When a name server took it in, in seconds of ``time.time()`` there; None elsewhere."""

    hosts: tuple[str, ...] = ()
    """Addresses of its machine at which a name server has reached it; empty where it did not."""

    problem: str = ""
    """Why a name server does not reach it; empty where it does, or has not tried."""

    node: str = ""
    """Machine that has registered it, by its certificate: only that one, or an operator, changes or
    removes the name. Empty where no certificate said it."""

    role: str = ""
    """What that machine was in the cluster then."""

    is_elsewhere: bool = False
    """Whether the object is at an address of another machine than that one."""

    @property
    def answering_node(self) -> str | None:
        """The machine that has to answer for the object; None: any of the cluster may."""
        return None if self.is_elsewhere else self.node or None


class Names(Protocol):
    """A place where names live: this machine's directory, or a name server."""

    def register(
        self, name: str, uri: URI | str, *, metadata: Iterable[str] = (), replace: bool = False
    ) -> None:
        """Give an object a name.

        Raises:
            NameTaken: It has a live owner: choose another, or ``replace=True``.
            BadName: It breaks the rules above.
        """

    def lookup(self, name: str) -> Record:
        """Return what a name stands for.

        Raises:
            NameUnknown: No live record has it.
        """

    def remove(self, name: str) -> bool:
        """Take a name back; False where there is none."""

    def list(self, prefix: str = "") -> tuple[Record, ...]:
        """Return the live records whose names begin with *prefix*, in the order of their names."""

    def close(self) -> None:
        """Let go of the place."""


def check_name(name: Any) -> str:
    """Return *name* if it may be one.

    Raises:
        BadName: It may not; the message says what a name looks like.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadName(
            f"{_shorten(name)} is no name: letters, digits, '-' and '_', with single dots between "
            "the words, such as lab3.camera"
        )
    if len(name) > MAX_NAME_LENGTH:
        raise BadName(
            f"{_shorten(name)} is too long for a name: {len(name)} characters, "
            f"{MAX_NAME_LENGTH} are allowed"
        )
    return name


def make_record(
    name: str,
    uri: URI | str,
    metadata: Iterable[str] = (),
    *,
    pid: int | None = None,
    lease_s: float | None = None,
    since: float | None = None,
    hosts: Iterable[str] = (),
) -> Record:
    """Make a record of what was asked to be registered.

    Raises:
        BadName: The name may not be one.
        BadURI: *uri* is a text and no URI.
        NamingError: *uri* is no address or a long one, or the metadata are no texts, too many or
            too long; the limits are constants of this module.
    """
    check_name(name)
    uri = URI(uri)
    if len(str(uri)) > MAX_URI_LENGTH:
        raise NamingError(
            f"the URI of {name!r} is too long: {len(str(uri))} characters, {MAX_URI_LENGTH} are "
            "allowed; give the object a shorter id, Daemon.register(object, id)"
        )
    if uri.protocol != "PYRO":
        raise NamingError(
            f"{uri} is a name, not an address: register {name!r} as PYRO:id@host:port"
        )
    tags = check_metadata(name, metadata)
    return Record(name, uri, tags, pid, lease_s, since, tuple(hosts))


def check_metadata(name: str, metadata: Iterable[str]) -> frozenset[str]:
    """Return the metadata of *name* as a set.

    Raises:
        NamingError: They are no set of printable texts, too many, or too long.
    """
    if isinstance(metadata, str):
        raise NamingError(
            f"the metadata of {name!r} are one text: give a set, such as {{{metadata!r}}}"
        )
    tags = frozenset(metadata)
    if len(tags) > MAX_METADATA:
        raise NamingError(
            f"the metadata of {name!r} are too many: {len(tags)} texts, {MAX_METADATA} are "
            "allowed; the object itself can tell more"
        )
    for tag in tags:
        if not isinstance(tag, str) or not tag.isprintable():
            raise NamingError(
                f"the metadata of {name!r} hold {_shorten(tag)}: only printable texts may be there"
            )
        if len(tag) > MAX_METADATA_LENGTH:
            raise NamingError(
                f"the metadata of {name!r} hold a text that is too long, {_shorten(tag)}: "
                f"{len(tag)} characters, {MAX_METADATA_LENGTH} are allowed"
            )
    return tags


def to_plain(record: Record) -> list[Any]:
    """Return what travels of a record: plain values, which any release and any peer can read."""
    return [
        record.name,
        str(record.uri),
        sorted(record.metadata),
        record.lease_s,
        record.since,
        list(record.hosts),
        record.problem,
        record.node,
        record.role,
        record.is_elsewhere,
    ]


def from_plain(plain: Sequence[Any]) -> Record:
    """Return the record that was sent; a later release may have sent more, an earlier one less.

    Raises:
        NamingError: It is none.
    """
    try:
        name, uri, tags, lease_s, since, hosts, problem = plain[:7]
        node, role, is_elsewhere = plain[7:10] or ("", "", False)
        return Record(
            name,
            URI(uri),
            frozenset(tags),
            None,
            lease_s,
            since,
            tuple(hosts),
            problem,
            str(node),
            str(role),
            bool(is_elsewhere),
        )
    except (ValueError, TypeError, LookupError, BadURI) as error:
        raise NamingError(
            f"{_shorten(plain)} is no record of a name: is that a name server of ours?"
        ) from error


def to_text(record: Record) -> str:
    """Return ``to_plain`` as JSON: one text travels twice as fast as a list of them."""
    return _encode(to_plain(record)).decode()


def from_text(text: str) -> Record:
    """Return the record of a text; raises as ``from_plain``."""
    try:
        return from_plain(_decode(text))
    except UNREADABLE as error:
        raise NamingError(f"{_shorten(text)} is no record of a name") from error


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
