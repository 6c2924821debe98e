"""The one door to zeroconf: say on one address where a name server is, hear there of others.

Everything here runs in the asyncio loop of ``following``. Both cost 60 ms to import, so those who
use them do it when they are first needed.

Who asks does so from a port of its own and is answered there, at once (RFC 6762, 6.7). On port 5353
an answer by unicast may go to another process of the machine, because a shared port gives it to one
of those that share it; so only what is multicast is listened to there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator

import zeroconf
from zeroconf import (
    DNSQuestionType,
    IPVersion,
    ServiceInfo,
    ServiceStateChange,
    Zeroconf,
)
from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

from nameserver.discovery.interfaces import is_ipv4, is_loopback
from nameserver.discovery.sighting import Sighting
from nameserver.errors import BadName, NamingError

__all__ = ["ASK_AGAIN_S", "SERVICE_TYPE", "TTL_S", "Querier", "Responder"]

SERVICE_TYPE = "_remoteobj._tcp.local."

TTL_S = 1125
"""How long an announcement is believed without being repeated, in seconds: the least that zeroconf
takes. Who browses asks again in time; a server that was killed is forgotten after it."""

ASK_AGAIN_S = 5.0
"""From one question to the next while nobody has answered, in seconds: a cable may have been out
when the last one was asked."""

_ANSWER_TIMEOUT_MS = 3000

_FAILURES = (OSError, RuntimeError, TimeoutError, zeroconf.Error)


class Responder:
    """Announces a name server on one address of this machine; made by ``open``."""

    def __init__(self, socket: AsyncZeroconf) -> None:
        self._socket = socket
        self._repeating: asyncio.Future[None] | None = None

    @classmethod
    async def open(
        cls, address: str, instance: str, port: int, properties: dict[str, str]
    ) -> Responder:
        """Announce it; the first announcement is out when this returns.

        The name is unique, so nobody is asked whether it is free, which would take 1.7 s.

        Raises:
            BadName: zeroconf does not take the instance's name.
            NamingError: The interface carries no announcements.
        """
        with _translated(instance):
            info = ServiceInfo(
                SERVICE_TYPE,
                f"{instance}.{SERVICE_TYPE}",
                port=port,
                parsed_addresses=[address],
                properties=properties,
                server=f"{instance}.local.",
                other_ttl=TTL_S,
            )
            self = cls(_open(address))
            try:
                self._repeating = asyncio.ensure_future(
                    await self._socket.async_register_service(info, cooperating_responders=True)
                )
            except BaseException:
                await self.close()
                raise
            return self

    async def close(self) -> None:
        """Say goodbye, three times in 0.3 s."""
        if self._repeating is not None:
            self._repeating.cancel()  # else it would be announced again after the goodbye
        await self._socket.async_close()


class Querier:
    """Browses on one address of this machine; made by ``open``."""

    def __init__(
        self,
        address: str,
        on_seen: Callable[[Sighting], None],
        on_gone: Callable[[str], None],
    ) -> None:
        self.instances: set[str] = set()
        """Those that are seen here now."""
        self._address = address
        self._is_loopback = is_loopback(address)
        self._on_seen, self._on_gone = on_seen, on_gone
        self._heard: set[str] = set()  # instances that were announced by multicast
        self._answered: set[str] = set()  # instances that have answered the last question
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening = _open(address)
        self._browser = self._browse(self._listening, DNSQuestionType.QM)
        self._start(self._ask())

    @classmethod
    async def open(
        cls, address: str, on_seen: Callable[[Sighting], None], on_gone: Callable[[str], None]
    ) -> Querier:
        """Browse.

        Args:
            address: Where.
            on_seen: Called with each announcement that appears or changes.
            on_gone: Called with the instance of one that said goodbye, or was not repeated.
        Raises:
            NamingError: The interface carries no announcements.
        """
        with _translated("browsing"):
            return cls(address, on_seen, on_gone)

    async def close(self) -> None:
        """Browse no longer; nobody is called any more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._browser.async_cancel()
        await self._listening.async_close()

    def _browse(
        self, socket: AsyncZeroconf, how: DNSQuestionType | None = None
    ) -> AsyncServiceBrowser:
        return AsyncServiceBrowser(
            socket.zeroconf, SERVICE_TYPE, handlers=[self._changed], question_type=how
        )

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self) -> None:
        """Ask, and again where nobody has answered, or somebody was never heard by multicast.

        zeroconf by itself asks for the first seconds only. Who was not heard cannot be heard to say
        goodbye, so it has to answer each question.
        """
        while True:
            self._answered = set()
            try:
                await self._ask_once()
            except _FAILURES:  # the address may be going; ``following`` sees to that
                await asyncio.sleep(ASK_AGAIN_S)
            for name in self.instances - self._heard - self._answered:
                self._forget(name)
            while self.instances and self.instances <= self._heard:
                await asyncio.sleep(ASK_AGAIN_S)

    async def _ask_once(self) -> None:
        socket = _open(self._address, unicast=True)
        try:
            browser = self._browse(socket)
            try:
                await asyncio.sleep(ASK_AGAIN_S)
            finally:
                await browser.async_cancel()
        finally:
            await socket.async_close()

    def _changed(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        is_heard = zeroconf is self._listening.zeroconf
        if state_change is not ServiceStateChange.Removed:
            (self._heard if is_heard else self._answered).add(name)
            self._start(self._read(zeroconf, name))
        elif is_heard:
            self._heard.discard(name)
            self._forget(name)

    def _forget(self, name: str) -> None:
        if name in self.instances:
            self.instances.remove(name)
            self._on_gone(name)

    async def _read(self, zeroconf: Zeroconf, name: str) -> None:
        info = ServiceInfo(SERVICE_TYPE, name)
        if await info.async_request(zeroconf, _ANSWER_TIMEOUT_MS):
            seen = self._sighting(info)
            if seen.addresses:
                self.instances.add(seen.instance)
                self._on_seen(seen)

    def _sighting(self, info: ServiceInfo) -> Sighting:
        """Read an announcement, which may be a stranger's."""
        # Linux hands a multicast to every socket of the port: so a network is heard on loopback,
        # and what another machine has on its loopback may answer.
        hosts = [
            host
            for host in info.parsed_addresses()
            if is_ipv4(host) and is_loopback(host) == self._is_loopback
        ]
        said = info.decoded_properties
        return Sighting(
            info.name,
            said.get("id") or info.name,
            tuple(f"{host}:{info.port}" for host in hosts),
            said.get("transport") or "",
            said.get("cluster") or "",
        )


def _open(address: str, *, unicast: bool = False) -> AsyncZeroconf:
    return AsyncZeroconf(interfaces=[address], ip_version=IPVersion.V4Only, unicast=unicast)


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn what zeroconf and the network raise into this package's errors."""
    try:
        yield
    except (zeroconf.BadTypeInNameException, zeroconf.NamePartTooLongException) as error:
        raise BadName(f"{name!r} cannot be announced: {error}; choose another name") from error
    except _FAILURES as error:
        reason = str(error) or type(error).__name__
        raise NamingError(f"zeroconf does not work there ({reason})") from error
