"""The calling side: a proxy stands for a remote object and may be used from any thread."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any, Self

from remoteobj import _pyro, handshake, transport
from remoteobj.errors import (
    BadURI,
    ConnectionLost,
    DeadlinePassed,
    InsecureRefused,
    InsecureWarning,
    NotSendable,
    ObjectUnknown,
    WireError,
)
from remoteobj.settings import Settings
from remoteobj.transport import Link
from remoteobj.uri import URI
from remoteobj.wire import Flag, Message, MessageType

__all__ = ["Proxy", "options", "release", "set_name_resolver"]

_resolvers: list[Callable[[str, str | None], URI]] = []


def set_name_resolver(resolve: Callable[[str, str | None], URI]) -> None:
    """Tell how ``PYRONAME:name`` is looked up; nameserver calls this when it is imported.

    Args:
        resolve: Called with the name and the name server's address, or None to find one.
    """
    _resolvers[:] = [resolve]


class Channel:
    """The connections to one object's daemon that a proxy, and what is derived from it, share."""

    def __init__(self, uri: URI, *, insecure: bool, settings: Settings) -> None:
        self.uri = uri
        self.settings = settings
        self._insecure = insecure
        self._idle: deque[Link] = deque()  # its append and pop need no lock
        self._metadata: dict[str, frozenset[str]] | None = None

    @property
    def insecure(self) -> bool:
        """Whether plain TCP was allowed."""
        return self._insecure

    def metadata(self, timeout_s: float | None = None) -> dict[str, frozenset[str]]:
        """Return the names that may be called, asking the daemon the first time."""
        if self._metadata is None:
            self._idle.append(self._open(_deadline(timeout_s)))
        assert self._metadata is not None
        return self._metadata

    def call(self, method: str, args: Any, kwargs: dict[str, Any], timeout_s: float | None) -> Any:
        """Make one call and wait for its answer."""
        deadline = _deadline(timeout_s)
        link = self._take(deadline)
        try:
            reply = self._exchange(link, method, args, kwargs, deadline)
        except NotSendable:  # nothing was sent
            self._idle.append(link)
            raise
        except DeadlinePassed as error:
            link.close()
            end = "it did not run" if error.executed == "no" else "it may still run"
            raise DeadlinePassed(
                f"{method}() of {self.uri} gave no answer within {timeout_s:g} s; {end}",
                executed=error.executed,
            ) from error
        except ConnectionLost as error:
            link.close()
            end = "it did not run" if error.executed == "no" else "it may have run"
            raise ConnectionLost(
                f"the connection was lost during {method}() of {self.uri}; {end}",
                executed=error.executed,
            ) from error
        except BaseException:
            link.close()
            raise
        self._idle.append(link)
        return None if reply is None else _unpack(reply)

    def _exchange(
        self, link: Link, method: str, args: Any, kwargs: dict[str, Any], deadline: float | None
    ) -> Message | None:
        payload = _pyro.dumps_call(link.object_id, method, args, kwargs)
        if len(payload) > self.settings.max_message_bytes:
            raise NotSendable(
                f"{method}() with {len(payload)} bytes of arguments: at most "
                f"{self.settings.max_message_bytes} are sent (Settings.max_message_bytes)"
            )
        link.sequence += 1
        oneway = method in self.metadata()["oneway"]
        flags = Flag.ONEWAY if oneway else 0
        link.send(
            Message(MessageType.INVOKE, _pyro.SERPENT, flags, link.sequence, payload), deadline
        )
        if oneway:
            return None
        reply = link.receive(deadline)
        transport.refuse_wrong_message(reply, MessageType.RESULT)
        if reply.sequence != link.sequence & 0xFFFF:
            raise WireError("an answer came to another call than the one that was made")
        return reply

    def close(self) -> None:
        """Close the connections that are not in use."""
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().close()

    def __del__(self) -> None:
        # Links still in use hold on to the channel, so none is closed under a call.
        for link in self._idle if hasattr(self, "_idle") else ():
            link.close()

    def _take(self, deadline: float | None) -> Link:
        with contextlib.suppress(IndexError):
            while True:
                link = self._idle.pop()
                if link.is_quiet():
                    return link
                link.close()
        return self._open(deadline)

    def _open(self, deadline: float | None) -> Link:
        uri = self._address()
        until = time.monotonic() + self.settings.connect_timeout_s
        if deadline is not None:
            until = min(until, deadline)
        link = transport.connect(uri, until - time.monotonic(), self.settings)
        try:
            self._shake_hands(link, uri.object, until)
            link.object_id = uri.object  # for PYRONAME it is only known here
        except DeadlinePassed as error:
            link.close()
            raise DeadlinePassed(
                f"{uri.location} took the connection, but did not say hello in time: is it a "
                "daemon of remoteobj or Pyro5, and not overloaded?",
                executed="no",
            ) from error
        except ConnectionLost as error:
            link.close()
            error.executed = "no"
            raise
        except BaseException:
            link.close()
            raise
        return link

    def _address(self) -> URI:
        uri = self.uri
        if uri.protocol == "PYRONAME":
            if not _resolvers:
                raise BadURI(f"{uri} is a name: import nameserver, which can look it up")
            uri = _resolvers[0](uri.object, uri.location)
        if uri.sockname is None and not self._insecure:
            raise InsecureRefused(
                f"calling {uri} without encryption needs insecure=True (--insecure at the command "
                "line): anyone on the way can read and change what is sent"
            )
        return uri

    def _shake_hands(self, link: Link, object_id: str, deadline: float) -> None:
        hello = _pyro.dumps(
            {"handshake": "hello", "object": object_id, handshake.KEY: handshake.offer()}
        )
        link.send(Message(MessageType.CONNECT, _pyro.SERPENT, 0, 0, hello), deadline)
        reply = link.receive(deadline)
        transport.refuse_wrong_message(reply, MessageType.CONNECT_OK, MessageType.CONNECT_FAIL)
        answer = _pyro.loads(reply.payload) if reply.serializer == _pyro.SERPENT else "refused"
        if reply.type == MessageType.CONNECT_FAIL:
            if _pyro.says_object_unknown(answer):
                raise ObjectUnknown(f"there is no object {object_id!r} at {self.uri.location}")
            raise ConnectionLost(f"{link.peer} refused the connection: {answer}", executed="no")
        self._metadata = _read_metadata(answer)
        assert isinstance(answer, dict)
        link.agreement = handshake.read_answer(answer.get(handshake.KEY))


def _deadline(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s


def _read_metadata(answer: Any) -> dict[str, frozenset[str]]:
    match answer:
        case {"meta": {"methods": methods, "oneway": oneway, "attrs": attrs}}:
            named = {"methods": methods, "oneway": oneway, "attrs": attrs}
            if all(isinstance(names, list | tuple | set) for names in named.values()):
                return {kind: frozenset(map(str, names)) for kind, names in named.items()}
    raise WireError("the daemon let us in, but did not say what may be called")


def _unpack(reply: Message) -> Any:
    if reply.serializer != _pyro.SERPENT:
        raise WireError(f"the answer came in serializer {reply.serializer}; serpent was asked for")
    value = _pyro.loads(reply.payload)
    if not reply.flags & Flag.EXCEPTION:
        return value
    if not isinstance(value, BaseException):
        raise WireError("the answer is marked as an error, but holds none")
    lines = getattr(value, _pyro.TRACEBACK_ATTRIBUTE, None) or ()
    value.add_note("Remote traceback:\n" + "".join(str(line) for line in lines).rstrip())
    if isinstance(value, ConnectionLost | DeadlinePassed):
        value.executed = "maybe"  # the method lost a peer of its own: this call did run
    raise value


class Proxy:
    """Stands for a remote object: its exposed methods and attributes are the proxy's.

    A proxy has no public names of its own; ``options(proxy, ...)`` and ``release(proxy)`` are
    functions of the module. It may be used from any thread, and reconnects by itself; a copy, and
    one that was unpickled elsewhere, has connections of its own.

    Args:
        uri: ``URI``, ``"PYRO:..."``, or ``"PYRONAME:name"`` once nameserver is imported.
        insecure: Talk plain TCP, if that is where the object is. Warned about.
        settings: Limits, of which ``call_timeout_s`` is one call's.

    Raises:
        BadURI: The text is no URI.
        ConnectionLost: At the first use: nobody answers there.
        ObjectUnknown: At the first use: a daemon answers, but has no such object.

    Blocks: not when it is made; each use blocks on the network.  Threads: any.
    """

    __slots__ = ("__weakref__", "_channel", "_timeout_s")

    _channel: Channel
    _timeout_s: float | None

    def __init__(
        self, uri: URI | str, *, insecure: bool = False, settings: Settings | None = None
    ) -> None:
        settings = settings or Settings()
        channel = Channel(URI(uri), insecure=insecure, settings=settings)
        if insecure and channel.uri.sockname is None:
            warnings.warn(
                f"plain TCP to {channel.uri}: anyone on the way can read and change these calls",
                InsecureWarning,
                stacklevel=2,
            )
        object.__setattr__(self, "_channel", channel)
        object.__setattr__(self, "_timeout_s", settings.call_timeout_s)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # also what copy, pickle and hasattr() look for
            raise AttributeError(f"{name!r} is private: it cannot be called remotely")
        metadata = self._channel.metadata(self._timeout_s)
        if name in metadata["methods"]:
            return _Method(self, name)
        if name in metadata["attrs"]:
            return self._channel.call("__getattr__", (name,), {}, self._timeout_s)
        raise AttributeError(f"{self._channel.uri} exposes no method or attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            raise AttributeError(f"{name!r} is private: it cannot be set remotely")
        if name not in self._channel.metadata(self._timeout_s)["attrs"]:
            raise AttributeError(f"{self._channel.uri} exposes no attribute {name!r}")
        self._channel.call("__setattr__", (name, value), {}, self._timeout_s)

    def __dir__(self) -> list[str]:
        metadata = self._channel.metadata(self._timeout_s)
        return sorted(metadata["methods"] | metadata["attrs"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        release(self)

    def __repr__(self) -> str:
        return f"<Proxy {self._channel.uri}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and other._channel.uri == self._channel.uri

    def __hash__(self) -> int:
        return hash(self._channel.uri)

    def __reduce__(self) -> tuple[Any, ...]:
        channel = self._channel
        return _rebuild, (str(channel.uri), channel.insecure, channel.settings, self._timeout_s)


def _rebuild(uri: str, insecure: bool, settings: Settings, timeout_s: float | None) -> Proxy:
    proxy = Proxy(uri, insecure=insecure, settings=settings)
    object.__setattr__(proxy, "_timeout_s", timeout_s)
    return proxy


class _Method:
    __slots__ = ("_name", "_proxy")

    def __init__(self, proxy: Proxy, name: str) -> None:
        self._proxy = proxy
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._proxy._channel.call(self._name, args, kwargs, self._proxy._timeout_s)

    def __repr__(self) -> str:
        return f"<method {self._name} of {self._proxy!r}>"


def options(proxy: Proxy, *, timeout_s: float | None) -> Proxy:
    """Return the same remote object with another deadline per call; connections are shared.

    Args:
        timeout_s: Longest time to wait for an answer, in seconds; None waits for ever.
    """
    other = object.__new__(Proxy)
    object.__setattr__(other, "_channel", proxy._channel)
    object.__setattr__(other, "_timeout_s", timeout_s)
    return other


def release(proxy: Proxy) -> None:
    """Close a proxy's idle connections; using it again opens new ones."""
    proxy._channel.close()
