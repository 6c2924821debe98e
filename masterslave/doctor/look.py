"""Observe farms, slaves and this machine, and judge nothing."""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import shutil
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from masterslave.doctor.facts import Facts, FarmSeen, Folder, Machine, ServerSeen, SlaveSeen
from masterslave.doctor.processes import is_stopped, python_of, see_slaves
from masterslave.naming import (
    PREFIX,
    SLAVE_PREFIX,
    FarmRecord,
    read_record,
    read_slave_record,
)
from masterslave.slave.capacity import usable_cpus
from nameserver import Directory, NamingError, Record, locate
from nameserver.doctor.facts import Missing
from nameserver.doctor.look import Wish as ServerWish
from nameserver.doctor.look import see_credentials
from nameserver.doctor.see_machine import see_packages, see_system
from remoteobj import Identity, InsecureWarning, Proxy, RemoteObjError, Settings
from remoteobj.runtime import LockedFile, runtime_dir

__all__ = ["Wish", "look"]

_PACKAGES = ("Pyro5", "msgspec", "cloudpickle", "zeroconf")
_ANSWER = Settings(connect_timeout_s=2.0, call_timeout_s=3.0)
_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish(ServerWish):
    """What is to be looked at beside this machine.

    Attributes:
        asks_server: Whether a name server is looked for.
        label_of: As for ``see_slaves``.
    """

    label_of: Callable[[list[str]], str | None]
    asks_server: bool = False


def look(wish: Wish) -> Facts:
    """Return all that can be observed.

    Blocks: on farms and name servers, at most some five seconds where they do not answer.
    """
    folder = _see_folder()
    here: tuple[Record, ...] = ()
    own: tuple[Record, ...] = ()
    slaves: tuple[SlaveSeen, ...] | None = ()
    if not folder.problem:
        try:
            with Directory() as directory:
                here = directory.list(PREFIX)
                own = directory.list(SLAVE_PREFIX)
        except NamingError as error:
            folder = Folder(folder.path, str(error))
    server, there = _see_server(wish)
    slaves = see_slaves(folder.path, wish.label_of)
    return Facts(
        python=platform.python_version(),
        packages=see_packages(_PACKAGES),
        now=time.time(),
        folder=folder,
        machine=_see_machine(),
        user=getpass.getuser(),
        system=see_system(),
        credentials=see_credentials(wish),
        server=server,
        farms=_see_farms(here, there, wish, server),
        slaves=None if slaves is None else tuple(_see_refused(slaves, own)),
    )


def _see_folder() -> Folder:
    try:
        path = runtime_dir()
    except RemoteObjError as error:
        return Folder(os.environ.get("XDG_RUNTIME_DIR", ""), str(error))
    if not os.access(path, os.W_OK | os.X_OK):
        return Folder(str(path), f"{path} cannot be written by this user")
    left = sum(map(_is_left, [*path.glob("*.lock"), *path.glob("names/*.json")]))
    return Folder(str(path), "", shutil.disk_usage(path).free, left)


def _is_left(path: Path) -> bool:
    """Tell whether the process that owned a file is gone; the file stays as it is."""
    try:
        lock = LockedFile.acquire(path)
    except OSError:
        return False
    if lock is not None:
        lock.close()
    return lock is not None


def _see_refused(slaves: Iterable[SlaveSeen], records: Iterable[Record]) -> Iterator[SlaveSeen]:
    """Ask slaves whom they do not serve."""
    desks = {entry.pid: entry.uri for entry in map(read_slave_record, records) if entry is not None}
    for slave in slaves:
        uri = None if slave.is_stopped else desks.get(slave.pid)
        told: dict[str, Any] = {}
        if uri is not None:
            with contextlib.suppress(RemoteObjError), Proxy(uri, settings=_ANSWER) as desk:
                told = desk.who()
        refused = [
            f"farm {one['label']!r} of {one['script']} on {one['machine'] or 'this machine'}"
            for one in told.get("refused", ())
        ]
        yield replace(slave, allow=tuple(told.get("allow", ())), refused=tuple(refused))


def _see_machine() -> Machine:
    files = most = None
    if sys.platform != "win32":
        import resource

        files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Machine(os.cpu_count() or 1, usable_cpus(), files, most, _free_memory())


def _free_memory() -> int | None:
    """Return what may be used without swapping, in bytes; of Linux only."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def _see_server(wish: Wish) -> tuple[ServerSeen | Missing | None, tuple[Record, ...]]:
    if not wish.asks_server:
        return None, ()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InsecureWarning)
            client = locate(
                wish.address,
                cluster=wish.cluster,
                timeout_s=wish.timeout_s,
                identity=wish.identity,
                insecure=wish.insecure,
            )
        with client:
            return ServerSeen(client.address, client.how), client.list(PREFIX)
    except RemoteObjError as error:
        return Missing(str(error).splitlines()[0]), ()


def _see_farms(
    here: Iterable[Record],
    there: Iterable[Record],
    wish: Wish,
    server: ServerSeen | Missing | None,
) -> tuple[FarmSeen, ...]:
    address = server.address if isinstance(server, ServerSeen) else ""
    local = [farm for farm in map(read_record, here) if farm is not None]
    known = {farm.farm for farm in local}
    remote = [farm for farm in map(read_record, there) if farm and farm.farm not in known]
    asked = [(farm, "") for farm in local] + [(farm, address) for farm in remote]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="doctor") as threads:
        seen = list(threads.map(lambda one: _see_farm(one[0], one[1], wish.identity), asked))
    return tuple(sorted(seen, key=lambda farm: (farm.label, farm.pid)))


def _see_farm(farm: FarmRecord, server: str, identity: Identity | None) -> FarmSeen:
    host = socket.gethostname()
    is_here = farm.host == host
    problem, waits, pids = "", "", ()
    try:
        with Proxy(farm.uri, identity=identity, settings=_ANSWER) as door:
            status = door.status()
        waits = str(status.get("waits", ""))
        pids = tuple(slave["pid"] for slave in status.get("slaves", ()) if slave["host"] == host)
    except RemoteObjError as error:
        problem = str(error).splitlines()[0]
    return FarmSeen(
        farm.label,
        farm.script,
        farm.host,
        farm.pid,
        farm.uri.location or "",
        server,
        problem,
        is_here and is_stopped(farm.pid),
        waits,
        pids,
        python_of(farm.pid) if is_here else "",
    )
