"""What a farm can be given: values of a wrong kind are told where they are given."""

from __future__ import annotations

from masterslave.farm.options import whole

__all__ = ["check_arguments"]


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
