"""``multiprocessing.Pool``, its processes being the slaves of a farm; built on the public Farm."""

from masterslave.pool.pool import Pool
from masterslave.pool.results import AsyncResult
from masterslave.pool.stream import ResultIterator

__all__ = ["AsyncResult", "Pool", "ResultIterator"]
