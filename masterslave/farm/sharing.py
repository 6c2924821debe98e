"""``farm.share`` and ``farm.empty``: objects that go to each slave once."""

from __future__ import annotations

import io
import itertools
import pickle
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import cloudpickle

from masterslave.blobs.segments import Place
from masterslave.blobs.writing import Contents
from masterslave.errors import NotPicklable
from masterslave.farm.arrays import empty_array, find_place, freeze
from masterslave.farm.handles import Handle, hold
from masterslave.farm.masters import AnyMaster
from masterslave.farm.packing import reason_of
from masterslave.farm.submitting import Submitter

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Sharing"]

Object = TypeVar("Object")

_MOST_IN_PLACE = 15
"""So many arrays of one object are handed on where they are; a child is told in a short frame."""


class Sharing:
    """Shares objects with the tasks of a farm."""

    _submitter: Submitter
    _master: AnyMaster

    def share(self, obj: Object) -> Handle[Object]:
        """Return a handle that is the object *obj* in every task which is given it.

        The object is pickled once, goes to each slave once, and is unpickled once in each of its
        processes, which keeps it for the next task. Arrays in it (all buffers that pickle can put
        beside a pickle) are not copied: on this machine each process maps the same memory, on
        another one all processes of a slave do. They cannot be written there. What is not an array
        is a copy in each process; a task that changes it changes what the next one sees.

        An object of the same content is shared once. Changes of *obj* after this call are not
        seen by tasks; an array of ``farm.empty`` cannot be written from here on.

        Args:
            obj: Anything that can be pickled. A ``memoryview`` arrives as one, of bytes.
        Raises:
            NotPicklable: It cannot.
            FarmClosed: The farm was shut down.
            OSError: There is no memory for it.

        Blocks: as long as it takes to pickle, hash and copy it: about 1.5 s for 1 GB.
        Threads: any.
        """
        self._submitter.check_open()
        packed, buffers = _pickle(obj)
        in_place = [buffer for buffer in buffers if find_place(buffer) is not None]
        frozen = [freeze(buffer) for buffer in in_place]
        if any(frozen):
            packed, buffers = _pickle(obj)  # which says whether they can be written
        inner = hold(packed, self._master.origin)
        left = itertools.count()

        def find(buffer: memoryview) -> Place | None:
            place = find_place(buffer)
            return place if place is not None and next(left) < _MOST_IN_PLACE else None

        blob = self._master.blobs.add(Contents(packed, buffers), find, inner)
        return Handle(blob, self._master.origin)

    @staticmethod
    def empty(shape: int | tuple[int, ...], dtype: Any = float) -> np.ndarray[Any, Any]:
        """Return a new numpy array, of zeros, that ``share`` does not have to copy.

        Fill it, then share it, as it is or in some other object: slaves on this machine map it
        where it is. From then on it cannot be written. Views that were made of it before could
        still be written, which nothing prevents: tasks would see that.

        Raises:
            ImportError: numpy is not installed.
            ValueError: The dtype has Python objects in it.
        """
        return empty_array(shape, dtype)


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        return _without_gaps(obj)


class _ByValue(cloudpickle.Pickler):  # type: ignore[misc]  # which has no types
    def reducer_override(self, obj: Any) -> Any:
        reduced = _without_gaps(obj)
        return super().reducer_override(obj) if reduced is NotImplemented else reduced


def _without_gaps(obj: Any) -> Any:
    """Have an array such as ``table[::2]`` lie beside the pickle, too, where it is not written."""
    numpy = sys.modules.get("numpy")
    if numpy is None or type(obj) is not numpy.ndarray or obj.flags.forc or obj.dtype.hasobject:
        return NotImplemented
    return numpy.ascontiguousarray(obj).__reduce_ex__(5)


def _pickle(obj: Any) -> tuple[bytes, list[memoryview]]:
    """Pickle an object; returns what lies beside the pickle, too.

    Raises:
        NotPicklable: It cannot be.
    """
    if type(obj) is memoryview:
        obj = pickle.PickleBuffer(obj)
    buffers: list[memoryview] = []

    def put_aside(buffer: pickle.PickleBuffer) -> bool:
        buffers.append(buffer.raw())  # small ones, too: in the pickle, they could be written
        return False

    try:
        file = io.BytesIO()
        _Pickler(file, 5, buffer_callback=put_aside).dump(obj)
        packed = file.getvalue()
        if b"__main__" not in packed:
            return packed, buffers
    except NotPicklable:
        raise
    except Exception:  # cloudpickle can do more, and says what it cannot
        pass
    buffers.clear()
    try:
        file = io.BytesIO()
        _ByValue(file, protocol=5, buffer_callback=put_aside).dump(obj)
    except Exception as error:
        raise NotPicklable(
            f"an object of type {type(obj).__qualname__} cannot be shared: {reason_of(error)}; "
            "share plain data or arrays instead"
        ) from error
    return file.getvalue(), buffers
