"""Who is let in: a slave says who it is and what it has, and is told what the farm wants of it.

What it has is put into *tags*, which tasks may ask for.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = [
    "CODE",
    "DOOR_ID",
    "ONLY_NAMED",
    "TASK_TAG",
    "VERSION",
    "Decline",
    "GivenHandlers",
    "Hold",
    "Introduction",
    "Welcome",
    "on_tag",
    "task_tag",
]

VERSION = 4
"""Version of this conversation; a slave of another one is refused in words."""

DOOR_ID = "masterslave.master"
"""Id of the master's door in its daemon."""

CODE = "code"
"""Tag of a slave whose Python takes functions that were pickled in the script."""

ONLY_NAMED = "takes no code (--only): only named tasks"
"""``Welcome.no_code`` of a slave whose owner wants it so, whatever its master says."""

TASK_TAG = "task:"
"""The tag of a slave that has a handler for named tasks begins so; the name follows."""


class Hold(Struct, frozen=True, array_like=True):
    """A hand-out that a slave still has: it waits or runs there, or its outcome is on its way."""

    task: int
    attempt: int
    count: int


class Introduction(Struct, frozen=True):
    """A slave says who it is.

    Attributes:
        formerly: The name that it was given when it joined before; what it still holds from then
            is taken of it.
        offers: Amounts of what tasks may need, which they use up while they run, by name.
        tasks: Names of tasks that it has handlers for.
        only_named: It takes nothing but these, with data; anything else it refuses itself.
        takes_handlers: It was started for this script alone, on its machine: it does the tasks that
            the farm has handlers for, too.
        gives: Where it gives other slaves what it has fetched, as a URI; empty: nowhere. All
            addresses of its machine (``0.0.0.0``) stand for the one that it comes from.
        farm_id: It has served this farm before, which is kept (``Welcome.farm_id``): *holds* are
            what it still has of it, from whichever of its masters.
        epoch: The highest epoch of that farm that it has seen; it believes no earlier master.
    """

    version: int
    name: str
    host: str
    pid: int
    slots: int
    python: tuple[int, int]
    formerly: str = ""
    offers: dict[str, float] = {}
    tasks: tuple[str, ...] = ()
    only_named: bool = False
    takes_handlers: bool = False
    gives: str = ""
    farm_id: str = ""
    holds: tuple[Hold, ...] = ()
    epoch: int = 0


class Decline(Struct, frozen=True):
    """A slave says that it does not serve this farm, and why, in words that go on after "it"."""

    name: str
    host: str
    reason: str


class GivenHandlers(Struct, frozen=True):
    """Handlers that a farm gives to slaves that were started for its script.

    Attributes:
        tasks: By the name of a task, the class that does it, as people know it.
        classes: These classes, pickled: a dict by that name.
        code: Name of the code set that they want; empty for none.
        parts: What is needed for it, by hash.
        digest: Hash of them all; empty where there are none.
    """

    tasks: dict[str, str] = {}
    classes: bytes = b""
    code: bytes = b""
    parts: dict[bytes, bytes] = {}
    digest: bytes = b""


class Welcome(Struct, frozen=True):
    """The slave is let in, or told in ``refused`` why not and what to do.

    Attributes:
        slave: The name that every verb carries from now on. It is a secret of these two.
        label: The farm's.
        search_path: Where the script finds what was installed, for slaves on its machine.
        initializer: Pickled ``(function, args)`` that each child calls before its first task of
            this farm; empty for none.
        max_tasks_per_child: Tasks of this farm that a child runs before it is replaced; 0: any.
        data_only: Results that only pickle could carry are refused.
        no_code: Why the slave is given named tasks only, in words that go on after "it"; empty: it
            is given functions, too.
        output: Whether the script wants to see what tasks print.
        log_levels: Of log records, by the name of the logger: what it wants to see of them.
        handlers: What it gives to slaves that take handlers.
        farm_id: Of a farm that is kept: the same for each of its masters, of which one comes after
            the other. Empty: there is one only.
        keep_s: So long the slave goes on with what it has of such a farm when its master is gone,
            and keeps outcomes for the next one, in seconds.
        epoch: Of the master, where one takes a farm over from another: who comes after another one
            has a higher one. Else 0.
    """

    slave: str = ""
    heartbeat_s: float = 0.0
    label: str = ""
    search_path: tuple[str, ...] = ()
    initializer: bytes = b""
    max_tasks_per_child: int = 0
    data_only: bool = False
    no_code: str = ""
    refused: str = ""
    output: bool = True
    log_levels: dict[str, int] = {}
    handlers: GivenHandlers = GivenHandlers()
    farm_id: str = ""
    keep_s: float = 0.0
    epoch: int = 0


def on_tag(name: str) -> str:
    """Return the tag of a slave that is called so, or whose host is."""
    return f"on:{name}"


def task_tag(name: str) -> str:
    """Return the tag of a slave that has a handler for tasks of this name."""
    return f"{TASK_TAG}{name}"
