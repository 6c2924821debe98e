"""Packages that a slave lacks and the script has: the slave is no use for such tasks.

What a slave says of a task that raised is looked at before it is anybody's answer. If the module
that was not found there is to be had here, the task is not to blame, and goes elsewhere. Where
nobody is able, it gets an error that says what is to be done, and where.
"""

from __future__ import annotations

import importlib.util
import logging
import pickle
import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

from masterslave.farm.modules import is_local_folder, may_travel
from masterslave.protocol.encoding import encode
from masterslave.protocol.outcomes import MIXED, RAISED, UNABLE, ItemOutcome, Outcome, Raised
from remoteobj import codec
from remoteobj.unreadable import UNREADABLE

__all__ = ["Lacking"]

log = logging.getLogger("masterslave")

_SAYS_SO = re.compile(rb"\xa7missing(?!\xa0)")
"""Of a packed ``Raised``: the field is there, and not empty."""

_read_raised = msgspec.msgpack.Decoder(Raised).decode
_read_mixed = msgspec.msgpack.Decoder(tuple[ItemOutcome, ...]).decode


class Lacking:
    """Knows which packages are missing on which hosts.  Threads: any."""

    def __init__(self) -> None:
        self._hosts: dict[str, dict[str, None]] = {}

    def sort_out(
        self, outcomes: Sequence[Outcome], slave: str, host: str
    ) -> tuple[Sequence[Outcome], tuple[str, ...]]:
        """Look at what a slave says.

        Returns:
            The outcomes, with another error where something is missing; and the packages that the
            slave lacks.
        """
        sorted_out, lacks = list(outcomes), []
        for place, outcome in enumerate(outcomes):
            if outcome.kind not in (RAISED, MIXED) or not _SAYS_SO.search(outcome.payload):
                continue
            raised = _first_missing(outcome)
            if raised is None or not _is_here(raised.missing):
                continue
            if _is_local(raised.missing):
                if outcome.kind == RAISED:
                    text = _untravelled(raised.missing)
                    sorted_out[place] = _with_error(outcome, RAISED, raised, text)
            elif "." not in raised.missing:
                lacks.append(raised.missing)
                text = self._note(raised.missing, slave, host)
                sorted_out[place] = _with_error(outcome, UNABLE, raised, text)
        return sorted_out, tuple(lacks)

    def _note(self, module: str, slave: str, host: str) -> str:
        hosts = self._hosts.setdefault(module, {})
        way_out = f"'{_install(module)}' there"
        if host not in hosts:
            hosts[host] = None
            log.warning(
                "slave %s on %s has no module %r, which the script has: tasks that import it go "
                "to other slaves; %s",
                slave,
                host,
                module,
                way_out,
            )
        return f"No module named {module!r} at slaves on {', '.join(hosts)}: {way_out}"


def _first_missing(outcome: Outcome) -> Raised | None:
    """Return the first error that is about a module that was not found."""
    try:
        if outcome.kind == RAISED:
            raised = _read_raised(outcome.payload)
            return raised if raised.missing else None
        for item in _read_mixed(outcome.payload):
            if item.kind == RAISED and (raised := _read_raised(item.payload)).missing:
                return raised
    except UNREADABLE:  # somebody else says so
        pass
    return None


def _with_error(outcome: Outcome, kind: int, raised: Raised, text: str) -> Outcome:
    error = ModuleNotFoundError(text, name=raised.missing)
    payload = encode(
        Raised(
            "ModuleNotFoundError",
            text,
            raised.traceback,
            pickled=pickle.dumps(error),
            data=codec.encode(error),
        )
    )
    return msgspec.structs.replace(outcome, kind=kind, payload=payload)


def _untravelled(module: str) -> str:
    return (
        f"No module named {module!r} at the slave: it is the script's own, and did not travel, "
        f"since nothing that travels says that it imports it; farm.send_module({module!r})"
    )


def _is_here(module: str) -> bool:
    if module in sys.modules:
        return True
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _is_local(module: str) -> bool:
    top = module.partition(".")[0]
    if not may_travel(top):
        return False
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # it was made by hand, and nobody knows where it is from
        return False
    places = [] if spec is None else [*(spec.submodule_search_locations or ())]
    if spec is not None and spec.origin and spec.has_location and not places:
        places = [str(Path(spec.origin))]
    return any(is_local_folder(str(Path(p).parent), str(Path(p).parent)) for p in places)


def _install(module: str) -> str:
    if module in sys.stdlib_module_names:
        return f"install a Python that has {module}"
    names = _distributions().get(module, [module])
    return f"pip install {names[0]}"


@cache
def _distributions() -> dict[str, list[str]]:
    from importlib.metadata import packages_distributions  # with email and zipfile: 1.6 MiB

    return {module: list(names) for module, names in packages_distributions().items()}
