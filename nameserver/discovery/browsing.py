"""Watch the announcements of name servers, on all interfaces at once.

The same announcement may be seen on several of them; it has gone when it is seen on none. What an
interface has shown goes with the interface, and is seen again when that is back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nameserver.discovery.interfaces import named_interfaces, usable
from nameserver.discovery.sighting import Sighting
from nameserver.networks import own_interfaces

if TYPE_CHECKING:
    from nameserver.discovery.following import Following
    from nameserver.discovery.mdns import Querier

__all__ = ["Browsing", "browse"]


class Browsing:
    """Watches announcements, until ``close()``; made by ``browse``. Threads: any."""

    def __init__(
        self,
        on_seen: Callable[[Sighting], None],
        on_gone: Callable[[str], None],
        named: tuple[str, ...],
    ) -> None:
        from nameserver.discovery.following import Following

        self._on_seen, self._on_gone = on_seen, on_gone
        self._named = named
        self._following: Following[Querier]
        self._following = Following(self._look, self._open_on, closed=self._closed)
        self._following.start()

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Addresses of the interfaces that are watched now."""
        return self._following.addresses

    def problems(self) -> dict[str, str]:
        """Return the addresses that cannot be watched, each with the reason."""
        missing = [each for each in self._named if each not in self._following.addresses]
        return dict.fromkeys(missing, "is no address of this machine") | self._following.problems()

    def close(self) -> None:
        """Watch no longer; no callback comes after this. Closing again does nothing."""
        self._following.close()

    def _look(self) -> tuple[str, ...]:
        return usable(own_interfaces(), self._named)

    async def _open_on(self, address: str) -> Querier:
        from nameserver.discovery.mdns import Querier

        return await Querier.open(address, self._on_seen, self._gone)

    def _gone(self, instance: str) -> None:
        if not any(instance in querier.instances for querier in self._following.opened):
            self._on_gone(instance)

    def _closed(self, querier: Querier) -> None:
        for instance in querier.instances:
            self._gone(instance)


def browse(
    on_seen: Callable[[Sighting], None],
    on_gone: Callable[[str], None],
    interfaces: Sequence[str] | None = None,
) -> Browsing:
    """Watch announcements of name servers, and follow changes of the networks.

    Args:
        on_seen: Called with each that appears or changes, in the thread that watches: be quick.
        on_gone: Called with the instance of one that said goodbye or was not repeated.
        interfaces: Addresses of the interfaces to watch on; None takes ``REMOTEOBJ_INTERFACES``,
            and where that is not set, all that can be used.
    Raises:
        NamingError: *interfaces* are no IPv4 addresses.

    Blocks: about 0.02 s, the first time 0.1 s; the first question is on its way then.
    """
    return Browsing(on_seen, on_gone, named_interfaces(interfaces))
