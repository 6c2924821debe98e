"""Where an object is: ``PYRO:id@host:port``, ``PYRO:id@./u:/path/of.sock``, ``PYRONAME:name``."""

from __future__ import annotations

import re
from typing import Any

from remoteobj.errors import BadURI

__all__ = ["URI"]

# The grammar is Pyro5's (its core.py): str(uri) is read by stock Pyro5 peers, and theirs by us.
_FORM = re.compile(r"(?P<protocol>PYRO(?:NAME)?):(?P<object>[^\s@]+)(?:@(?P<location>\S+))?", re.I)
_TCP = re.compile(r"PYRO:([^\s@]+)@([A-Za-z0-9._-]+):([0-9]{1,5})")  # what is read most
_IPV6 = re.compile(r"\[(?P<host>[0-9a-fA-F:.%\w]+)\](?::(?P<port>\d+))?")
_EXAMPLES = "PYRO:id@host:port, PYRO:id@./u:/path/of.sock or PYRONAME:name"
MAX_PORT = 65535


class URI:
    """The address of an object; immutable, equal by value, and a stock Pyro5 URI as ``str``.

    Attributes:
        protocol: ``"PYRO"`` (an address) or ``"PYRONAME"`` (a name to look up).
        object: The object's id in its daemon, or its name.
        host: Host name or address for TCP, else None.
        port: TCP port, else None.
        sockname: Path of the Unix socket, else None.

    Raises:
        BadURI: The text has none of these forms.
    """

    __slots__ = ("host", "object", "port", "protocol", "sockname")

    protocol: str
    object: str
    host: str | None
    port: int | None
    sockname: str | None

    def __init__(self, uri: str | URI) -> None:
        text = str(uri)
        tcp = _TCP.fullmatch(text)
        if tcp is not None and 0 < int(tcp[3]) <= MAX_PORT:
            self._set("PYRO", tcp[1], tcp[2], int(tcp[3]), None)
        else:
            self._set(*_parse(text))

    def _set(
        self,
        protocol: str,
        object_id: str,
        host: str | None,
        port: int | None,
        sockname: str | None,
    ) -> None:
        put = object.__setattr__
        put(self, "protocol", protocol)
        put(self, "object", object_id)
        put(self, "host", host)
        put(self, "port", port)
        put(self, "sockname", sockname)

    @classmethod
    def of_tcp(cls, object_id: str, host: str, port: int) -> URI:
        """Build the URI of an object that is served on TCP."""
        return cls(f"PYRO:{object_id}@{join_address(host, port)}")

    @classmethod
    def of_unix(cls, object_id: str, sockname: str) -> URI:
        """Build the URI of an object that is served on a Unix socket."""
        return cls(f"PYRO:{object_id}@./u:{sockname}")

    @property
    def location(self) -> str | None:
        """The part behind the ``@``."""
        if self.sockname:
            return f"./u:{self.sockname}"
        if self.host is None:
            return None
        return join_address(self.host, self.port) if self.port else self.host

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a URI cannot be changed; make a new one")

    def __str__(self) -> str:
        text = f"{self.protocol}:{self.object}"
        return f"{text}@{self.location}" if self.location else text

    def __repr__(self) -> str:
        return f"URI({str(self)!r})"

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, URI) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __reduce__(self) -> tuple[type[URI], tuple[str]]:
        return URI, (str(self),)


def join_address(host: str, port: int | None) -> str:
    """Write host and port as one text, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _parse(text: str) -> tuple[str, str, str | None, int | None, str | None]:
    match = _FORM.fullmatch(text)
    if match is None:
        raise BadURI(f"{text!r} is no URI of an object: it looks like {_EXAMPLES}")
    protocol = match["protocol"].upper()
    location = match["location"]
    if protocol == "PYRO" and not location:
        raise BadURI(f"{text!r} does not say where the object is: it looks like {_EXAMPLES}")
    host, port, sockname = _parse_location(location, text) if location else (None, None, None)
    if protocol == "PYRO" and host and port is None:
        raise BadURI(f"{text!r} has no port: it looks like {_EXAMPLES}")
    return protocol, match["object"], host, port, sockname


def _parse_location(location: str, text: str) -> tuple[str | None, int | None, str | None]:
    if location.startswith("./u:"):
        sockname = location[4:]
        if not sockname or ":" in sockname:
            raise BadURI(f"{text!r} names no Unix socket: a path without ':' follows ./u:")
        return None, None, sockname
    ipv6 = _IPV6.fullmatch(location)
    host, port = (ipv6["host"], ipv6["port"]) if ipv6 else _partition(location)
    if not host or (":" in host and not ipv6):
        raise BadURI(f"{text!r} names no host: an IPv6 address stands in brackets, [::1]:9090")
    if not port:
        return host, None, None
    if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) <= MAX_PORT:
        raise BadURI(f"{text!r} has the port {port!r}: it is a number from 1 to {MAX_PORT}")
    return host, int(port), None


def _partition(location: str) -> tuple[str, str]:
    if ":" not in location:
        return location, ""
    host, _, port = location.rpartition(":")
    return host, port
