"""The command line in this process: what it prints, and its exit code."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from typing import NamedTuple
from unittest import mock

from nameserver.cli import main_group
from remoteobj.cli import run_command

__all__ = ["Said", "command"]


class Said(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str


class Terminal(io.StringIO):
    """Takes what is printed as a terminal does."""

    def isatty(self) -> bool:
        """Return that it is one."""
        return True


def command(*arguments: str, is_terminal: bool = False, **environment: str) -> Said:
    """Run ``nameserver`` with these arguments, in the tests' environment and this one."""
    out, err = (Terminal() if is_terminal else io.StringIO() for _ in range(2))
    with (
        mock.patch.dict(os.environ, environment),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        warnings.simplefilter("default")
        code = run_command(main_group, list(arguments))
    return Said(code, out.getvalue(), err.getvalue())
