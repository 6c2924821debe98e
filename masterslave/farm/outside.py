"""What a farm stands on where slaves come to it: its doors, its names, and slaves of its own."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from masterslave.farm.doors import Doors
from masterslave.farm.explain import OWN_SLAVES
from masterslave.farm.local import LocalSlaves
from masterslave.farm.places import Places
from masterslave.farm.reach import Reach
from masterslave.farm.watchman import Watchman
from masterslave.master.door import Door
from masterslave.master.shell import Master
from masterslave.naming import FarmRecord
from masterslave.protocol.joining import Welcome
from masterslave.settings import FarmSettings
from remoteobj import URI

__all__ = ["Outside"]


class Outside:
    """Doors that slaves call at, places where they find it, and local slaves.

    Args:
        welcome: What every slave is told of the farm.
        local_slaves: How many are started, or "auto".
        status: Returns plain data about the farm, for ``masterslave show``.
        steer: As the door wants it.
        reach: How far the farm reaches.
        script: What is at work here, for people; empty: the file that was started.
        own_slaves: What to give for slaves of the farm's own, in words.
        beside: What else is served where the door is, by its ids.
        on_superseded: As the door wants it.

    Attributes:
        local_uri: Where the door is for this user's processes on this machine.
    """

    def __init__(
        self,
        master: Master,
        settings: FarmSettings,
        welcome: Welcome,
        *,
        local_slaves: int | str,
        status: Callable[[], dict[str, Any]],
        steer: Callable[[str, str], Future[dict[str, Any]]],
        reach: Reach,
        script: str = "",
        own_slaves: str = OWN_SLAVES,
        beside: Mapping[str, Any] | None = None,
        on_superseded: Callable[[int], None] | None = None,
    ) -> None:
        self._beside = beside or {}
        self._doors = Doors(reach.host, reach.identity)
        self.local_uri = self._doors.local_uri
        self._local_slaves = local_slaves
        if not script:
            script = (
                Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "an interactive session"
            )
        self._record = FarmRecord(
            welcome.label, secrets.token_hex(4), self._doors.uri, socket.gethostname(), os.getpid(),
            script, farm_id=welcome.farm_id, epoch=welcome.epoch,
        )  # fmt: skip
        self._local = LocalSlaves(self._doors.local_uri)
        self._watchman = Watchman(
            welcome.label,
            master,
            self._local,
            settings=settings,
            start_slaves=local_slaves == "auto",
            tasks=welcome.handlers.tasks,
            own_slaves=own_slaves,
        )
        self._door = Door(
            master,
            welcome,
            on_refused=self._watchman.note_refused,
            status=lambda: self._with_record(status()),
            release=master.release,
            steer=steer,
            is_own=self._local.has,
            how_ended=self._local.how_ended,
            on_superseded=on_superseded,
        )
        self._places = Places(
            replace(self._record, uri=self._doors.local_uri),
            self._record,
            nameserver=reach.nameserver,
            identity=reach.identity,
            insecure=reach.insecure,
            cluster=reach.cluster,
        )
        self.add_local_slaves = self._local.add
        self.lead_with = self._door.lead_with
        self.why_waiting = self._watchman.why_waiting

    def open(self) -> None:
        """Let slaves come; nothing is done where the doors were shut meanwhile."""
        if not self._doors.open(self._door, self._beside):
            return
        self._places.open()
        if isinstance(self._local_slaves, int):
            self._local.add(self._local_slaves)
        self._watchman.start()

    @property
    def uri(self) -> URI:
        """Where the master's door is: for other machines, if they are served."""
        return self._doors.outer_uri()

    @property
    def servers(self) -> tuple[str, ...]:
        """Addresses of the name servers where the farm is registered now."""
        return self._places.servers

    def close_first(self) -> None:
        """Before the master ends: nobody else comes."""
        self._watchman.close()
        self._places.close()

    def shut(self) -> None:
        """Serve nobody any more, and tell nobody: slaves keep what they have, if they may."""
        self.close_first()
        self._doors.close()

    def shut_doors(self) -> None:
        """Serve nobody any more, at once; ``shut`` has to follow."""
        self._doors.close()

    def close_last(self) -> None:
        """The master has ended, and the slaves were told."""
        self._local.close()
        self._doors.close()

    def _with_record(self, status: dict[str, Any]) -> dict[str, Any]:
        record = {**asdict(self._record), "uri": str(self.uri)}
        return {**record, **status, "name_servers": list(self.servers)} if status else {}
