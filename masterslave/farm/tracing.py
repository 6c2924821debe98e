"""Whether a farm has its scheduler traced, and where."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from masterslave.settings import FarmSettings
from remoteobj import forks

if TYPE_CHECKING:
    from masterslave.farm.journaled import Kept
    from masterslave.journal.trace import Trace

__all__ = ["TRACE_VARIABLE", "trace_of"]

TRACE_VARIABLE = "REMOTEOBJ_FARM_TRACE"
"""Has the farms of a script traced whose settings do not say: ``1`` beside their journals, or a
path, to which ``.trace`` is added."""

log = logging.getLogger("masterslave")


def trace_of(label: str, settings: FarmSettings, kept: Kept | None) -> Trace | None:
    """Begin a trace, if one is asked for. One that cannot be made is logged, and stops no farm."""
    said = settings.trace
    if said is None:
        said = os.environ.get(TRACE_VARIABLE, "").strip()
        said = {"": False, "0": False, "1": True}.get(said, said)
    if said is False:
        return None
    if said is True and kept is None:
        log.warning("farm %r is not traced: it has no journal, so give the trace a path", label)
        return None
    with forks.whole:
        from masterslave.journal.trace import Trace
    path = kept.path if said is True and kept is not None else Path(str(said)).resolve()
    run = int(time.time()) if kept is None else kept.journal.run
    about = {
        "label": label,
        "silence_s": settings.silence_s,
        "feeding": msgspec.structs.asdict(settings.feeding),
    }
    try:
        return Trace(path, run, about=about, max_bytes=settings.trace_bytes)
    except OSError as error:
        log.warning("farm %r is not traced: %s: %s", label, path, error.strerror)
        return None
