"""What may be tuned in a farm, as one frozen value that is passed in."""

from __future__ import annotations

from dataclasses import dataclass, field

from masterslave.scheduler import Feeding

__all__ = ["FarmSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmSettings:
    """Times and limits of a farm and of its slaves."""

    heartbeat_s: float = 1.0
    """A slave's poll is answered after this time at the latest, in seconds, so that both sides
    hear of each other even when nothing happens."""

    silence_s: float = 5.0
    """A slave that is not heard of for so long is given up and its tasks run elsewhere, in
    seconds. A closed connection is noticed at once; this is for cables that are pulled."""

    patience_s: float = 10.0
    """How long a slave tries to reach a master that does not answer, in seconds, before it drops
    what it holds for it. A master that refuses the connection is gone, and is dropped at once."""

    keep_s: float = 60.0
    """With a journal: how long slaves go on with what they have of the farm when its script is
    gone, in seconds, and keep the results for the script that is started next."""

    cache_bytes: int = 1024 * 1024 * 1024
    """With ``cache=True``: how many bytes the results of all scripts of this user may take, about;
    those that were not of use for longest are forgotten first."""

    keep_going: bool | None = None
    """Whether a task that raises leaves the others of a ``map`` or a stream alone. Then in the
    place of its result stands a ``NoResult``, which raises its error where it is used,
    ``imap_unordered`` leaves it out, and what has failed is listed in the end. None: as
    ``REMOTEOBJ_FARM_KEEP_GOING`` says, which ``masterslave run --keep-going`` sets."""

    trace: bool | str | None = None
    """Whether all that the scheduler hears is traced, in a ring of files, for `masterslave trace`:
    True beside the journal, or a path to which ".trace" is added. None: as
    ``REMOTEOBJ_FARM_TRACE`` says."""

    trace_bytes: int = 64 * 1024 * 1024
    """How many bytes a trace takes at most."""

    max_attempts: int = 3
    """Hand-outs of one task that may be lost with their slave or child before the task is given
    up. Two deaths may be bad luck of a machine; the third speaks against the task."""

    explain_after_s: float = 3.0
    """When tasks wait and nothing has happened for so long, the farm says why, in seconds."""

    auto_slaves_after_s: float = 1.0
    """With ``local_slaves="auto"``: how long to wait for a slave to join, in seconds, before local
    ones are started."""

    feeding: Feeding = field(default_factory=Feeding)
    """How far ahead slaves are fed."""

    max_open_tasks: int | None = None
    """``submit`` waits while so many tasks have no answer; None: it never waits, as in the standard
    library. Streams have a limit of their own."""

    max_open_bytes: int | None = None
    """``submit`` waits, and streams take no further item, while the arguments of tasks that have no
    answer take so many bytes, pickled; None: no limit but memory."""

    def __post_init__(self) -> None:
        for name in ("heartbeat_s", "silence_s"):
            _check(name, getattr(self, name), may_be_0=False)
        for name in ("patience_s", "keep_s", "explain_after_s", "auto_slaves_after_s"):
            _check(name, getattr(self, name), may_be_0=True)
        for name in (
            "cache_bytes",
            "trace_bytes",
            "max_attempts",
            "max_open_tasks",
            "max_open_bytes",
        ):
            number = getattr(self, name)
            if number is not None or not name.startswith("max_open"):
                if not isinstance(number, int):
                    raise TypeError(f"{name} is a whole number, not {number!r}")
                _check(name, number, may_be_0=False)
        if not isinstance(self.feeding, Feeding):
            raise TypeError(f"feeding is a Feeding, not {self.feeding!r}")
        for name in self.feeding.__struct_fields__:
            _check(f"feeding.{name}", getattr(self.feeding, name), may_be_0=True)


def _check(name: str, number: object, *, may_be_0: bool) -> None:
    """Check a time or a limit: a bad one would end the farm's clock, or have it wait for ever."""
    if not isinstance(number, int | float):
        raise TypeError(f"{name} is a number, not {number!r}")
    if not (number > 0 or (may_be_0 and number == 0)):
        raise ValueError(f"{name} is a number {'from' if may_be_0 else 'above'} 0, not {number}")
