"""Tasks that were to run after others: which futures these may be, and what fails with them."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any, cast

from masterslave.errors import DependencyFailed
from masterslave.farm.packing import reason_of
from masterslave.master.submission import Single

if TYPE_CHECKING:
    from masterslave.farm.futures import FarmFuture

__all__ = ["dependency_failed", "predecessors_of"]


def predecessors_of(
    after: Iterable[Future[Any]] | Future[Any], owner: object
) -> tuple[FarmFuture[Any], ...]:
    """Return the tasks of these futures.

    Args:
        owner: What submits the tasks of their farm.
    Raises:
        TypeError: One of them is no future of this farm.
    """
    if not isinstance(after, Iterable | Future):
        raise TypeError(f"after is a future of this farm, or a list of them, not {after!r}")
    futures: list[FarmFuture[Any]] = []
    for future in (after,) if isinstance(after, Future) else after:
        if not isinstance(future, Single):
            raise TypeError(
                f"after is a list of futures that submit() of this farm has given, and {future!r} "
                "is none: wait for it, then submit"
            )
        if getattr(future, "_owner", None) is not owner:
            raise TypeError(
                f"{future!r} is of another farm: wait for it, then submit; after is for tasks of "
                "the same farm"
            )
        futures.append(cast("FarmFuture[Any]", future))  # the one future that is a task
    return tuple(futures)


def dependency_failed(name: str, predecessor: FarmFuture[Any]) -> DependencyFailed:
    """Return the error of a task that was to run after one that has ended without a result.

    Args:
        name: Of its function.
    """
    other = f"{predecessor.function.name}()"
    if predecessor.number >= 0:
        other += f", task {predecessor.number}"
    error: BaseException | None
    try:
        error = predecessor.exception()
    except CancelledError as cancelled:
        error = cancelled
    if isinstance(error, DependencyFailed):
        first, cause, how = error.first, error.__cause__, f"which was not run either: {error.first}"
    else:
        how = "was cancelled"
        if not isinstance(error, CancelledError):
            how = f"raised {type(error).__name__}: {reason_of(error)}" if error else "has no result"
        first, cause, how = f"{other}, {how}", error, f"which {how}"
    failed = DependencyFailed(f"{name}() was not run: it was to run after {other}, {how}", first)
    failed.__cause__ = cause
    return failed
