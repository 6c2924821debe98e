"""``with joblib_backend(farm):`` scikit-learn, and all that uses joblib, works on the farm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from masterslave.farm.farm import Farm

__all__ = ["joblib_backend"]


@contextmanager
def joblib_backend(farm: Farm, *, n_jobs: int = -1) -> Iterator[None]:
    """Have joblib's parallel calls in this block run on a farm.

    ::

        with Farm("grid") as farm, joblib_backend(farm):
            GridSearchCV(model, parameters).fit(X, y)

    Slaves may join and leave meanwhile; they need joblib, and what the calls use. A parallel call
    within a task runs in its slot, one after the other. A call that fails drops its other tasks.

    Args:
        n_jobs: How much at a time, where a parallel call does not say: -1 is each slot of the
            farm, also those that join while a call runs; -2 leaves one out.

    Raises:
        ImportError: joblib is not installed: install ``remoteobj-farm[joblib]``.

    Threads: the block is that of one thread; others go on as they were.
    """
    try:
        from joblib import parallel_config
    except ImportError as error:
        raise ImportError(
            "joblib_backend() needs joblib: pip install 'remoteobj-farm[joblib]'"
        ) from error
    from masterslave.patterns.farm_backend import FarmBackend

    with parallel_config(backend=FarmBackend(farm), n_jobs=n_jobs):
        yield
