"""Several accounts in one process, one after the other."""

from collections.abc import Callable

__all__ = ["Account"]

Account = Callable[[str], None]
"""Lets this process be of another account from now on."""
