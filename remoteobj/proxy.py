"""The calling side: a proxy stands for a remote object and may be used from any thread."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Self

from remoteobj.client.channel import Channel, prepare_error, resolvers
from remoteobj.client.method import make_method
from remoteobj.client.session import Found
from remoteobj.client.trusting import wanted
from remoteobj.errors import BadInput, InsecureWarning
from remoteobj.identity import AUTO, Auto, Identity, refuse_both
from remoteobj.settings import Settings
from remoteobj.uri import URI

__all__ = ["Found", "Proxy", "batch", "options", "release", "set_name_resolver"]


def set_name_resolver(
    resolve: Callable[[str, str | None, Identity | Auto | None], URI | Found],
) -> None:
    """Tell how ``PYRONAME:name`` is looked up; nameserver calls this when it is imported.

    Args:
        resolve: Called with the name, the name server's address, or None to find one, and the
            identity of the proxy. It returns where the object is; as ``Found``, where it is known
            which node has to answer there.
    """
    resolvers[:] = [resolve]


class Proxy:
    """Stands for a remote object: its exposed methods and attributes are the proxy's.

    A proxy has no public names of its own; ``options(proxy, ...)`` and ``release(proxy)`` are
    functions of the module. It may be used from any thread, and reconnects by itself; a copy, and
    one that was unpickled elsewhere, has connections of its own.

    Args:
        uri: ``URI``, ``"PYRO:..."``, or ``"PYRONAME:name"`` once nameserver is imported.
        identity: Who this process is: TCP is TLS then, and the daemon has to be of its cluster.
            Without a word it is who this account became by pairing; None: nobody.
        insecure: Talk plain TCP, if that is where the object is. Warned about.
        node: The machine that has to answer: nothing but its own certificate is good enough; None
            takes any of the cluster.
        role: What the machine that answers has to be at least; without it ``"member"``, so that no
            slave can pose as a server. ``"slave"`` is for objects that slaves publish.
        settings: Limits, of which ``call_timeout_s`` is one call's.

    Raises:
        BadURI: The text is no URI.
        BadInput: ``identity=`` and ``insecure=True`` contradict each other; or that is no node's
            id, or no role.
        InsecureRefused: At the first use: the object is on TCP, this account is in no cluster,
            and neither was given.
        IdentityUnusable: At the first use on TCP: this account is in several clusters of which none
            was chosen; or what pairing has stored cannot be used.
        ConnectionLost: At the first use: nobody answers there; ``PeerRefused`` if one side does
            not trust the other, or if another node or role answers than the one that is wanted.
        NotAllowed: At any use: what is called is for callers of another role.
        DeadlinePassed: At any use: no answer in time.
        ObjectUnknown: At the first use: a daemon answers, but has no such object.

    Blocks: not when it is made; each use blocks on the network.  Threads: any.
    """

    __slots__ = ("__dict__", "__weakref__", "_channel", "_timeout_s")

    _channel: Channel
    _timeout_s: float | None

    def __init__(
        self,
        uri: URI | str,
        *,
        identity: Identity | Auto | None = AUTO,
        insecure: bool = False,
        node: str | None = None,
        role: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or Settings()
        refuse_both(identity, insecure)
        channel = Channel(
            URI(uri),
            insecure=insecure,
            identity=identity,
            settings=settings,
            wanted=wanted(node, role),
        )
        if insecure and channel.uri.sockname is None:
            warnings.warn(
                f"plain TCP to {channel.uri}: anyone on the way can read and change these calls",
                InsecureWarning,
                stacklevel=2,
            )
        object.__setattr__(self, "_channel", channel)
        object.__setattr__(self, "_timeout_s", _limit(settings.call_timeout_s))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # also what copy, pickle and hasattr() look for
            raise AttributeError(f"{name!r} is private: it cannot be called remotely")
        metadata = self._channel.metadata(self._timeout_s)
        if name in metadata.methods:
            method = make_method(self._channel, name, self._timeout_s)
            self.__dict__[name] = method  # found there from now on, without a detour
            return method
        if name in metadata.attrs:
            return self._channel.call("__getattr__", (name,), {}, self._timeout_s)
        if metadata.is_partial:  # the daemon says whether it is for others, or not there at all
            return self._channel.call("__getattr__", (name,), {}, self._timeout_s)
        raise AttributeError(
            f"{self._channel.uri} exposes no method or attribute {name!r}: is it a method or a "
            "property that is marked with @expose?"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            raise AttributeError(f"{name!r} is private: it cannot be set remotely")
        metadata = self._channel.metadata(self._timeout_s)
        if name not in metadata.attrs and not metadata.is_partial:
            raise AttributeError(
                f"{self._channel.uri} exposes no attribute {name!r}: is it a property that is "
                "marked with @expose?"
            )
        self._channel.call("__setattr__", (name, value), {}, self._timeout_s)

    def __dir__(self) -> list[str]:
        metadata = self._channel.metadata(self._timeout_s)
        return sorted(metadata.methods | metadata.attrs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        release(self)

    def __repr__(self) -> str:
        channel = getattr(self, "_channel", None)
        return f"<Proxy {channel.uri}>" if channel else "<Proxy: could not be made>"

    def __str__(self) -> str:
        return str(self._channel.uri)  # so URI(proxy) is where the object is

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and other._channel.uri == self._channel.uri

    def __hash__(self) -> int:
        return hash(self._channel.uri)

    def __reduce__(self) -> tuple[Any, ...]:
        channel = self._channel
        return _rebuild, (
            str(channel.uri),
            channel.identity,
            channel.insecure,
            channel.settings,
            self._timeout_s,
            channel.wanted.node,
            channel.wanted.role,
        )


def _rebuild(
    uri: str,
    identity: Identity | Auto | None,
    insecure: bool,
    settings: Settings,
    timeout_s: float | None,
    node: str | None = None,
    role: str | None = None,
) -> Proxy:
    proxy = Proxy(
        uri, identity=identity, insecure=insecure, node=node, role=role, settings=settings
    )
    object.__setattr__(proxy, "_timeout_s", timeout_s)
    return proxy


def options(proxy: Proxy, *, timeout_s: float | None) -> Proxy:
    """Return the same remote object with another deadline per call; connections are shared.

    Args:
        timeout_s: Longest time to wait for an answer, in seconds; None waits for ever.
    Raises:
        BadInput: It is no number.
    """
    other = object.__new__(Proxy)
    object.__setattr__(other, "_channel", proxy._channel)
    object.__setattr__(other, "_timeout_s", _limit(timeout_s))
    return other


def _limit(timeout_s: float | None) -> float | None:
    """Return a limit as it is kept: None for none."""
    if timeout_s is None or timeout_s == math.inf:
        return None
    if math.isnan(timeout_s):
        raise BadInput("timeout_s is no number: give seconds, or None to wait for ever")
    return timeout_s


def release(proxy: Proxy) -> None:
    """Let go of a proxy's connections, and end its session; using it again begins a new one.

    Connections that other proxies of this process use too stay open.

    Blocks: to tell the daemon, at most ``connect_timeout_s``; not where no other proxy is left.
    """
    proxy._channel.release()


class _Batch:
    """Collects calls; see ``batch``."""

    __slots__ = ("__dict__", "_calls", "_proxy")

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_"):
            raise AttributeError(f"{name!r} is private: it cannot be called remotely")
        calls = self._calls

        def note(*args: Any, **kwargs: Any) -> None:
            calls.append((name, args, kwargs))

        self.__dict__[name] = note  # found there from now on, without a detour
        return note

    def __call__(self, *, oneway: bool = False) -> Iterator[Any]:
        """Make the calls; returns an iterator over their results, which raises where one failed.

        The batch is empty then, and may be used again.

        Args:
            oneway: Do not wait for the results; there are none.
        Raises:
            NotSendable: An argument cannot be sent; the message says which of which call. None of
                the calls was made.
            ConnectionLost: As for a call. ``executed`` is about all of them: if it is "maybe", some
                may have run.
            DeadlinePassed: The calls took longer than the proxy's ``timeout_s``, which is for all
                of them together; ``executed`` likewise.

        What a call raises, and that its result cannot be sent, is raised by the iterator, in the
        place of that result.

        Blocks: on the network, until the last of the calls is answered.
        """
        calls = self._calls[:]
        self._calls.clear()
        if not calls:
            return iter(())
        proxy = self._proxy
        values, error = proxy._channel.call_batch(calls, proxy._timeout_s, oneway=oneway)
        return _results(values, error)

    def __len__(self) -> int:
        return len(self._calls)

    def __repr__(self) -> str:
        return f"<batch of {len(self._calls)} calls of {self._proxy!r}>"


def _results(values: list[Any], error: BaseException | None) -> Iterator[Any]:
    yield from values
    if error is not None:
        try:
            raise prepare_error(error)
        finally:
            del error  # else it and this frame hold each other


def batch(proxy: Proxy) -> Any:
    """Return what collects calls of *proxy*, and sends them as one message when it is called.

    >>> calls = batch(warehouse)            # doctest: +SKIP
    >>> calls.stock("bolt")                 # doctest: +SKIP
    >>> calls.stock("nut")                  # doctest: +SKIP
    >>> list(calls())                       # doctest: +SKIP
    [12, 30]

    The calls are made in their order. One that fails ends the batch: its exception is raised where
    its result would have come, and those after it are not made.

    Calling it raises ``NotSendable`` where an argument cannot be sent: then no call was made. It
    raises ``ConnectionLost`` and ``DeadlinePassed`` as one call of a proxy does, for all together.

    Blocks: not when it is made; calling it, until all of its calls are answered.
    Threads: one at a time.
    """
    return _Batch(proxy)
