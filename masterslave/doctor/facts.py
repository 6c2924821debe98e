"""What can be observed of farms, of slaves, and of the machine that they are on; plain values."""

from __future__ import annotations

from dataclasses import dataclass, field

from nameserver.doctor.facts import Credentials, Missing, Package, System

__all__ = ["ANY_LABEL", "Facts", "FarmSeen", "Folder", "Machine", "ServerSeen", "SlaveSeen"]

ANY_LABEL = "*"


@dataclass(frozen=True, slots=True)
class Folder:
    """This user's private directory."""

    path: str
    problem: str = ""
    """Why it cannot be used, in the words of who tried."""

    free_bytes: int | None = None
    left: int = 0
    """Files of processes that ended without taking them away."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is of it for this user; None where the system does not tell."""

    cpus: int
    usable_cpus: int
    """Of them, those that affinity and limits of a container leave."""

    open_files: int | None = None
    most_open_files: int | None = None
    """Up to here this user may raise the limit."""

    free_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class FarmSeen:
    """A farm that is known in some place."""

    label: str
    script: str
    host: str
    pid: int
    address: str
    server: str = ""
    """The name server that tells of it; empty: this user's directory."""

    problem: str = ""
    """Why it does not answer."""

    is_stopped: bool = False
    """Whether its process is stopped by a signal."""

    waits: str = ""
    slave_pids: tuple[int, ...] = ()
    """Of its slaves on this machine."""

    python: str = ""
    """Minor version, such as 3.11; empty: not known."""


@dataclass(frozen=True, slots=True)
class SlaveSeen:
    """A slave's process on this machine."""

    pid: int
    label: str
    """Which farms it serves; several labels stand with commas between them."""

    user: str = ""
    """Whose it is, where it is not this user's."""

    folder: str = ""
    """The private directory in which it looks, where that is another one."""

    is_stopped: bool = False
    python: str = ""
    allow: tuple[str, ...] = ()
    """Whose tasks it runs; empty: everybody's."""

    refused: tuple[str, ...] = ()
    """Farms that it does not serve because of that: label and owner."""


@dataclass(frozen=True, slots=True)
class ServerSeen:
    """A name server that has answered."""

    address: str
    how: str


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it."""

    python: str
    packages: tuple[Package, ...]
    now: float
    """In seconds of ``time.time()``."""

    folder: Folder
    machine: Machine
    user: str = ""
    system: System = "linux"
    credentials: Credentials = field(default_factory=Credentials)
    server: ServerSeen | Missing | None = None
    """None: none was looked for."""

    farms: tuple[FarmSeen, ...] = ()
    slaves: tuple[SlaveSeen, ...] | None = None
    """None: this system does not show processes."""
