"""Arrays that are made in memory which slaves of this machine can map."""

from __future__ import annotations

import mmap
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from masterslave.blobs.segments import HAS_MEMORY_FILES, Place, Segment

if TYPE_CHECKING:
    import numpy as np

__all__ = ["empty_array", "find_place", "freeze"]


class _Made:
    """An array's memory, and the array for as long as there is one."""

    __slots__ = ("address", "array", "segment", "size")

    def __init__(self, address: int, size: int, segment: Segment, array: Any) -> None:
        self.address, self.size, self.segment = address, size, segment
        self.array = weakref.ref(array)


_lock = threading.Lock()
_made: dict[int, _Made] = {}
"""By the address, while the mapping lives."""


def empty_array(shape: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """Make an array, filled with zeros, in memory that can be handed on.

    Raises:
        ImportError: numpy is not installed.
        ValueError: The dtype has Python objects in it.
        OSError: There is no memory, or there are too many files.
    """
    import numpy as np

    kind = np.dtype(dtype)
    if kind.hasobject:
        raise ValueError(f"an array of {kind} has Python objects in it, which cannot be mapped")
    plain = np.zeros(shape, kind)  # zeros, which nobody has touched, take no memory
    if not HAS_MEMORY_FILES or not plain.nbytes:
        return plain
    segment = Segment(plain.nbytes)
    mapping = mmap.mmap(segment.descriptor, plain.nbytes)
    array = np.frombuffer(mapping, kind, plain.size).reshape(plain.shape)
    address = _address(array)
    with _lock:
        _made[address] = _Made(address, plain.nbytes, segment, array)
    weakref.finalize(mapping, _made.pop, address, None).atexit = False
    return array


def find_place(buffer: memoryview) -> Place | None:
    """Return where a buffer lies, if it is the memory of an array that was made here."""
    if not _made or "numpy" not in sys.modules or not buffer.nbytes:
        return None
    made = _made.get(_address(buffer))
    if made is None or made.size != buffer.nbytes:
        return None
    return Place(made.segment, 0, made.size)


def freeze(buffer: memoryview) -> bool:
    """See that an array's memory is written no more; tells whether its array was writable."""
    made = _made.get(_address(buffer))
    if made is None:
        return False
    made.segment.seal()
    array = made.array()
    was_writable = array is not None and bool(array.flags.writeable)
    if array is not None:
        array.flags.writeable = False
    return was_writable


def _address(buffer: Any) -> int:
    import numpy as np

    array = buffer if isinstance(buffer, np.ndarray) else np.frombuffer(buffer, np.uint8)
    return int(array.__array_interface__["data"][0])
