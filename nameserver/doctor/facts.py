"""What can be observed of a machine and its network; plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Card",
    "Credentials",
    "Dialled",
    "Facts",
    "Firewall",
    "Found",
    "Heard",
    "Hearing",
    "Kind",
    "Missing",
    "Package",
    "State",
    "System",
    "Visit",
]

Kind = Literal["usable", "loopback", "bridge", "link-local"]
State = Literal["up", "down", "unplugged", "unknown"]
"""Of an interface; "unplugged": on, but without a cable or a Wi-Fi network."""

Heard = Literal["heard", "unheard", "no route", "port taken", "forbidden", "failed"]
Dialled = Literal["answers", "refused", "timed out", "unreachable", "unknown host", "not tried"]
System = Literal["linux", "macos", "windows"]
Firewall = Literal["ufw", "firewalld", "other"]
"""What keeps the ports of a Linux machine, as far as can be seen without being root."""


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution of Python that is needed here."""

    name: str
    version: str | None
    """None: it is not there."""

    least: str = ""
    """The oldest version that will do."""


@dataclass(frozen=True, slots=True)
class Card:
    """An address of this machine, and the interface that has it."""

    name: str
    address: str
    bits: int
    kind: Kind
    state: State = "unknown"
    has_multicast: bool | None = None
    """Whether it is set up for multicast; None: this system does not tell."""

    is_chosen: bool = True
    """Whether name servers are looked for here; ``REMOTEOBJ_INTERFACES`` chooses."""

    @property
    def is_on(self) -> bool:
        """Whether something may be reached by it."""
        return self.state in ("up", "unknown")


@dataclass(frozen=True, slots=True)
class Hearing:
    """What came of an announcement that was sent on an interface."""

    card: Card
    heard: Heard
    said: str = ""
    """By the system, where it failed."""

    others: tuple[str, ...] = ()
    """Addresses of other machines that were heard meanwhile."""


@dataclass(frozen=True, slots=True)
class Found:
    """A name server that has answered."""

    address: str
    how: str
    answer_s: float
    cluster: str = ""
    is_stock: bool = False
    """Whether it is Pyro5's own."""

    release: str = ""
    """Of this program there; empty where it does not say."""

    python: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """No name server has answered."""

    said: str
    is_refused: bool = False
    """Whether one is there, and does not talk to us, or we not to it."""

    is_for_choice: bool = False
    """Whether there are several, and it was not said which."""

    host: str = ""
    """Where one is said to be; empty where nobody says it."""

    port: int | None = None
    dialled: Dialled = "not tried"


@dataclass(frozen=True, slots=True)
class Visit:
    """What came of an object of this machine that a name server was to call."""

    address: str
    """Where the object was, as ``host:port``."""

    network: str = ""
    """Of its interface, such as 192.168.1.0/24."""

    hosts: tuple[str, ...] = ()
    """Where the name server has reached it."""

    failures: tuple[str, ...] = ()
    """Where not, and why, each as ``host:port: why``."""

    refused: str = ""
    """Why it was not even registered."""

    ahead_s: float | None = None
    """By how much the name server's clock is ahead of this one's, at least; None: not known."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """How TCP is spoken here."""

    is_insecure: bool = False
    subject: str = ""
    """Of the identity; empty where there is none."""

    days_left: float = 0.0
    has_files: bool = False
    """Whether it was given as three files, and not stored by pairing."""

    problem: str = ""
    """Why there is none, although there was to be one."""

    cluster: str = ""
    """Which one this account has joined; empty where the identity was not stored by pairing."""

    role: str = ""
    """What this machine may do there."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it."""

    python: str
    packages: tuple[Package, ...]
    now: float
    """In seconds of ``time.time()``."""

    system: System = "linux"
    firewall: Firewall = "other"
    host_name: str = ""
    host_addresses: tuple[str, ...] = ()
    """What this machine's own name stands for."""

    cards: tuple[Card, ...] = ()
    bad_choice: str = ""
    """Why ``REMOTEOBJ_INTERFACES`` cannot be followed."""

    hearings: tuple[Hearing, ...] = ()
    credentials: Credentials = Credentials()
    server: Found | Missing = Missing("nobody was asked")
    visit: Visit | None = None

    @property
    def outer(self) -> tuple[Card, ...]:
        """The addresses that other machines can be given, as far as they are up."""
        usable = [card for card in self.cards if card.kind == "usable" and card.is_on]
        return tuple(sorted(usable, key=lambda card: ":" in card.address))
