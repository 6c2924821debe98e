"""The entry points of the console commands: all that is here before the first import of theirs.

What they import takes a third of a second. Ctrl-C meanwhile ends them as it does later, with exit
code 130 and no traceback. So this is a package of its own: to import one of the others imports most
of them.
"""

from __future__ import annotations

import sys
from importlib import import_module

__all__ = ["masterslave", "nameserver", "remoteobj"]


def masterslave() -> None:
    """Be a slave, and look at farms."""
    _run("masterslave")


def nameserver() -> None:
    """Run a name server, and look at names."""
    _run("nameserver")


def remoteobj() -> None:
    """Look at remote objects."""
    _run("remoteobj")


def _run(command: str) -> None:
    try:
        main = import_module(f"{command}.cli").main
    except KeyboardInterrupt:
        sys.exit(130)
    main()
