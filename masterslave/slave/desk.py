"""Where this user's own commands reach a slave: a Unix socket, and a record in the directory.

So ``masterslave drain`` and ``stop`` work while the slave serves no farm, and mean the whole slave:
who may call here owns it. Nothing of this is on the network.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from msgspec import to_builtins

from masterslave.naming import FarmRecord, SlaveEntry, metadata_of_slave, name_of_slave
from masterslave.slave.agent import Agent
from masterslave.slave.whose import Owner
from nameserver import Directory
from remoteobj import Daemon, RemoteObjError, expose

__all__ = ["Desk"]

_ID = "masterslave.slave"


class Desk:
    """Serves this user's commands until it is closed.

    Args:
        stop: Has the agent leave at once, whether its masters answer or not.
        report: Called with lines for people.
    """

    def __init__(
        self, agent: Agent, stop: Callable[[], None], report: Callable[[str], None]
    ) -> None:
        self._agent, self._stop, self._report = agent, stop, report
        self._daemon: Daemon | None = None
        self._directory: Directory | None = None

    def open(self) -> None:
        """Begin; a slave that cannot works all the same, and says so."""
        try:
            self._daemon = Daemon()
            uri = self._daemon.register(self, _ID)
            self._daemon.start()
            self._directory = Directory()
            name = name_of_slave(secrets.token_hex(4))
            who = self._agent.introduction()
            entry = SlaveEntry(who.name, who.host, who.pid, who.slots)
            self._directory.register(name, uri, metadata=metadata_of_slave(entry))
        except (RemoteObjError, OSError) as error:
            self._report(f"'masterslave drain' and 'stop' will not find this slave: {error}")
            self.close()

    def close(self) -> None:
        """End. Blocks on calls that run, at most two seconds."""
        if self._directory is not None:
            self._directory.close()
        if self._daemon is not None:
            self._daemon.close()

    @expose
    def status(self) -> dict[str, Any]:
        """Return how the slave is, as plain data."""
        status: dict[str, Any] = to_builtins(self._agent.report())
        return status

    @expose
    def who(self) -> dict[str, Any]:
        """Return for whom the slave works, and for whom not, as plain data."""
        who = self._agent.introduction()
        return {
            "only": sorted(who.tasks) if who.only_named else None,
            "allow": list(self._agent.allowed.names),
            "farms": [
                {
                    **_facts_of(guest.farm, guest.owner),
                    "running": self._agent.running_for(guest),
                    "done": guest.link.work.done,
                    "since": guest.since,
                    "kept": guest.link.is_keeping,
                }
                for guest in self._agent.guests()
            ],
            "refused": [_facts_of(one.farm, one.owner) for one in self._agent.refused()],
        }

    @expose
    def drain(self) -> None:
        """Finish what runs, give back the rest, and end."""
        self._report("told to leave: finishing what runs, giving back the rest")
        self._agent.drain()

    @expose
    def stop(self) -> None:
        """Give back everything, and end at once."""
        self._report("told to leave at once")
        self._stop()


def _facts_of(farm: FarmRecord, owner: Owner) -> dict[str, Any]:
    return {
        "label": farm.label,
        "script": farm.script,
        "pid": farm.pid,
        "host": farm.host,
        "address": farm.uri.location or "",
        "machine": owner.name,
        "node": owner.node,
    }
