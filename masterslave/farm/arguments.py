"""What a farm can be given: values of a wrong kind are told where they are given."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from masterslave.farm.options import whole
from masterslave.settings import FarmSettings

__all__ = ["check_arguments", "settings_for"]

_FOR_EVER_S = 1e9


def check_arguments(
    local_slaves: object, results: object, max_tasks_per_child: int | None, nameserver: object
) -> None:
    """Look at arguments of a farm that are looked at nowhere else.

    Raises:
        TypeError, ValueError: One of them cannot be.
    """
    if local_slaves != "auto" and (not isinstance(local_slaves, int) or local_slaves < 0):
        raise ValueError(f'local_slaves is "auto" or a number from 0, not {local_slaves!r}')
    if results not in ("any", "data"):
        raise ValueError(f'results is "any" or "data", not {results!r}')
    if max_tasks_per_child is not None and whole(max_tasks_per_child, "max_tasks_per_child") < 1:
        raise ValueError(f"max_tasks_per_child is at least 1, not {max_tasks_per_child!r}")
    if not isinstance(nameserver, str | bool | None):
        raise TypeError(f"nameserver is an address or True or False, not {nameserver!r}")


def settings_for(
    settings: FarmSettings | None, is_here: bool, max_tasks_per_child: int | None
) -> FarmSettings:
    """Return the settings of a farm with these arguments.

    Raises:
        TypeError: They are something else.
    """
    settings = settings or FarmSettings()
    if not isinstance(settings, FarmSettings):
        raise TypeError(f"settings is a FarmSettings, not {settings!r}")
    if is_here:  # who is in this process is not silent, but in a debugger
        settings = replace(settings, silence_s=_FOR_EVER_S)
    if max_tasks_per_child is not None:  # a hand-out is never taken apart
        most = min(settings.feeding.max_chunk, max_tasks_per_child)
        feeding = msgspec.structs.replace(settings.feeding, max_chunk=most)
        settings = replace(settings, feeding=feeding)
    return settings
