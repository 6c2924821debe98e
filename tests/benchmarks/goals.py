"""What is measured, and what remoteobj has to reach."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field

from tests.benchmarks.peers import RAW, REMOTEOBJ, SYSTEMS, TLS

__all__ = ["CHANGED", "GOALS", "MEASURES", "Goal", "Line", "Measure", "Scale"]

CHANGED = "comes back changed"
_ALL = tuple(system.name for system in SYSTEMS)
_UNIX = (REMOTEOBJ.name, "managers", "Pyro5 msgpack")
_RAW = (RAW.name,)
_OUR_TLS, _RAW_TLS, _OUR_UNIX = (system.name for system in TLS)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is done: a full run, a quick one, or a test's."""

    reps: int = 5
    seconds: float = 0.4
    mib: tuple[int, ...] = (64, 16, 4, 1)  # the first that works within the limit
    idle: int = 5000
    waiting: int = 1000
    limit_s: float = 12.0  # of one repetition of one system
    limit_many_s: float = 60.0  # of idle connections and deferred replies


@dataclass(frozen=True, slots=True)
class Measure:
    """One table of the page."""

    key: str
    title: str
    kind: str
    systems: tuple[str, ...]
    unit: str
    family: str = "tcp"
    raw_family: str = "tcp"
    pinned: bool = False
    ratio_to: str = RAW.name


@dataclass(frozen=True, slots=True)
class Line:
    """What came out for one system: medians, or a note that says why not."""

    system: str
    value: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    facts: dict[str, float] = field(default_factory=dict)
    note: str = ""
    base: str = ""  # to what the ratio is, where that is not the raw socket


@dataclass(frozen=True, slots=True)
class Goal:
    """One promise: a fact of remoteobj's line, or its value against another system's."""

    measure: str
    says: str
    sign: str
    bound: float
    fact: str = "ratio"
    against: str = ""
    system: str = REMOTEOBJ.name

    def reached(self, lines: list[Line]) -> float | None:
        """Return what remoteobj reached, or None if there is no number."""
        by_name = {line.system: line for line in lines}
        own, other = by_name.get(self.system), by_name.get(self.against)
        if own is None:
            return None
        if not self.against:
            return own.ratio if self.fact == "ratio" else own.facts.get(self.fact)
        if own.value is None or other is None or other.value is None:
            return None
        if own.base and own.base == other.system and own.ratio is not None:
            return own.ratio
        return own.value / other.value

    def is_met_by(self, number: float) -> bool:
        compare = {"<=": operator.le, ">=": operator.ge}[self.sign]
        return bool(compare(number, self.bound))


MEASURES = (
    Measure(
        "echo-tcp-pinned",
        "Echo of a small int over TCP, both processes on one core",
        "echo",
        (*_RAW, *_ALL),
        "us a call",
        pinned=True,
    ),
    Measure(
        "echo-tcp-free",
        "Echo of a small int over TCP, on any core",
        "echo",
        (*_RAW, *_ALL),
        "us a call",
    ),
    Measure(
        "echo-unix-pinned",
        "Echo of a small int over a Unix socket, both processes on one core",
        "echo",
        (*_RAW, *_UNIX),
        "us a call",
        family="unix",
        raw_family="unix",
        pinned=True,
    ),
    Measure(
        "echo-unix-free",
        "Echo of a small int over a Unix socket, on any core",
        "echo",
        (*_RAW, *_UNIX),
        "us a call",
        family="unix",
        raw_family="unix",
    ),
    Measure(
        "eight",
        "8 clients in 2 processes, over TCP",
        "eight",
        (*_RAW, *_ALL),
        "calls/s",
    ),
    Measure(
        "batch",
        "Batches of 100 calls in one message, over TCP",
        "batch",
        (REMOTEOBJ.name, "Pyro5 msgpack", "Pyro5 serpent"),
        "calls/s",
        ratio_to="Pyro5 msgpack",
    ),
    Measure(
        "records",
        "100 records of 7 fields with a datetime, over TCP",
        "records",
        _ALL,
        "calls/s",
        ratio_to="Pyro5 msgpack",
    ),
    Measure("bytes", "Echo of large bytes over TCP", "bytes", (*_RAW, *_ALL), "MB/s"),
    Measure("array", "Echo of a large float64 array over TCP", "array", (*_RAW, *_ALL), "MB/s"),
    Measure(
        "array-unix",
        "Echo of a large float64 array over a Unix socket, against raw TCP",
        "array",
        (*_RAW, REMOTEOBJ.name),
        "MB/s",
        family="unix",
    ),
    Measure(
        "echo-tls-pinned",
        "Echo of a small int over TLS and over a Unix socket, both processes on one core",
        "echo",
        (*_RAW, _RAW_TLS, REMOTEOBJ.name, _OUR_TLS, _OUR_UNIX),
        "us a call",
        pinned=True,
        ratio_to=REMOTEOBJ.name,
    ),
    Measure(
        "connect",
        "A new connection with its first call, both processes on one core",
        "connect",
        (REMOTEOBJ.name, _OUR_TLS, _OUR_UNIX),
        "us a connection",
        pinned=True,
        ratio_to=REMOTEOBJ.name,
    ),
    Measure(
        "bytes-tls",
        "Echo of large bytes over TLS",
        "bytes",
        (*_RAW, _RAW_TLS, _OUR_TLS),
        "MB/s",
        ratio_to=_RAW_TLS,
    ),
    Measure(
        "idle",
        "Idle connections",
        "idle",
        (REMOTEOBJ.name, "Pyro5 serpent"),
        "connections",
        ratio_to="",
    ),
    Measure(
        "later",
        "Calls that all wait 1 s for a deferred reply, over TCP",
        "later",
        (REMOTEOBJ.name,),
        "answered",
        ratio_to="",
    ),
)

GOALS = (
    Goal("echo-tcp-pinned", "null call over TCP, time / raw", "<=", 1.6),
    Goal("echo-unix-pinned", "null call over a Unix socket, time / raw", "<=", 1.7),
    Goal("eight", "8 clients, calls/s / raw", ">=", 0.55),
    Goal("batch", "batches, calls/s / Pyro5 msgpack", ">=", 1.0, against="Pyro5 msgpack"),
    Goal("records", "records, calls/s / Pyro5 msgpack", ">=", 1.7, against="Pyro5 msgpack"),
    Goal("records", "records, calls/s / Pyro5 serpent", ">=", 15.0, against="Pyro5 serpent"),
    Goal("bytes", "large bytes over TCP, rate / raw", ">=", 0.9),
    Goal("array", "large array over TCP, rate / raw", ">=", 0.9),
    Goal("array-unix", "large array over the Unix socket, rate / raw TCP", ">=", 4.0),
    Goal(
        "echo-tls-pinned",
        "null call over TLS, time / plain TCP",
        "<=",
        1.6,
        against=REMOTEOBJ.name,
        system=_OUR_TLS,
    ),
    Goal(
        "echo-tls-pinned",
        "null call over a Unix socket, time / plain TCP",
        "<=",
        1.0,
        against=REMOTEOBJ.name,
        system=_OUR_UNIX,
    ),
    Goal(
        "bytes-tls",
        "large bytes over TLS, rate / raw TLS",
        ">=",
        0.7,
        against=_RAW_TLS,
        system=_OUR_TLS,
    ),
    Goal("idle", "idle connections held", ">=", 5000, fact="held"),
    Goal("idle", "threads with idle connections", "<=", 32, fact="threads"),
    Goal("idle", "memory of one idle connection, KiB", "<=", 4.0, fact="KiB each"),
    Goal("later", "deferred replies of 1 s, answered", ">=", 1000, fact="held"),
    Goal("later", "deferred replies of 1 s, all within, s", "<=", 2.0, fact="s"),
    Goal("later", "deferred replies of 1 s, threads", "<=", 32, fact="threads"),
)
