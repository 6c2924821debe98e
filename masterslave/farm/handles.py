"""Handles of shared objects: what stands for an object in arguments, until it is unpickled.

A handle pickles as a call of ``_masterslave.take_shared``: that is the program of a child, where it
gives the object. Here it is a module of this name with that function alone.
"""

from __future__ import annotations

import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from masterslave.errors import NotPicklable, NotShared
from masterslave.master.sharing import Blob, Promised

__all__ = ["Handle", "Packed", "hold", "notes"]

Object = TypeVar("Object")


class _Notes(threading.local):
    """The blobs, by farm and hash, whose handles were pickled in this thread, until they are gone
    or ``hold`` has taken them.
    """

    def __init__(self) -> None:
        self.blobs: dict[tuple[str, bytes], weakref.ref[Blob]] = {}

    def note(self, blob: Blob, origin: str) -> None:
        blobs, key = self.blobs, (origin, blob.digest)
        blobs[key] = weakref.ref(blob, lambda gone: blobs.pop(key, None))

    def find(self, packed: bytes) -> list[Blob]:
        """Return those that something refers to that was just pickled in this thread."""
        found = [reference() for (_, digest), reference in self.blobs.items() if digest in packed]
        return [blob for blob in found if blob is not None]


notes = _Notes()


class Packed(bytes):
    """Arguments that keep the blobs alive to which they refer."""

    blobs: tuple[Blob, ...]


class Handle(Generic[Object]):
    """Stands for an object that ``farm.share`` has shared; in a task it is the object itself.

    It may be anywhere in the arguments of tasks of its farm, and in what a function uses. What it
    shares is kept, here and at the slaves, until the handle is gone or released, and no task
    needs it any more.

    Threads: any.
    """

    __slots__ = ("__weakref__", "_blob", "_origin")

    def __init__(self, blob: Blob, origin: str) -> None:
        self._blob: Blob | None = blob
        self._origin = origin
        _known[origin, blob.digest] = blob
        _take_shared()

    @property
    def value(self) -> Object:
        """The object, as tasks get it: arrays in it cannot be written.

        Raises:
            NotShared: The handle was released.
        """
        return cast(Object, self._held().value)

    @property
    def nbytes(self) -> int:
        """How much memory the object takes, in bytes."""
        return self._held().size

    def release(self) -> None:
        """Let go of the object: tasks that were submitted still get it, no other can.

        Blocks: not at all; the slaves are told soon.
        """
        self._blob = None

    def _held(self) -> Blob:
        if self._blob is None:
            raise NotShared("this handle was released: share the object anew")
        return self._blob

    def __reduce__(self) -> tuple[Any, ...]:
        if self._blob is None:
            raise NotPicklable("a handle was released that a task is to be given: share anew")
        notes.note(self._blob, self._origin)
        return _take_shared(), (self._blob.digest, self._origin)

    def __repr__(self) -> str:
        state = "released" if self._blob is None else f"{self._blob.size} bytes"
        return f"<Handle of {self._origin}: {state}>"


def hold(packed: bytes, origin: str) -> tuple[Blob, ...]:
    """Return the blobs to which something refers that was just pickled in this thread.

    Args:
        origin: The farm for which it was.
    Raises:
        NotPicklable: One of them is of another farm.
    """
    noted, notes.blobs = notes.blobs, {}
    blobs = []
    for (owner, digest), reference in noted.items():
        blob = reference()
        if blob is None or digest not in packed:  # pickled for something else
            continue
        if owner != origin:
            raise NotPicklable(
                f"a handle of {owner} was given to {origin}: share the object with that farm, too"
            )
        blobs.append(blob)
    return tuple(blobs)


_known: weakref.WeakValueDictionary[tuple[str, bytes], Blob] = weakref.WeakValueDictionary()


def _take_here(digest: bytes, origin: str) -> Any:
    """Return the object of a handle that is unpickled in the script."""
    blob = _known.get((origin, digest))
    if blob is None:
        raise NotShared(f"an object that {origin} has shared is gone: keep its handle")
    return blob.make() if isinstance(blob, Promised) else blob.value


_take_here.__module__, _take_here.__qualname__ = "_masterslave", "take_shared"
_take_here.__name__ = "take_shared"


def _take_shared() -> Callable[[bytes, str], Any]:
    """Return the function that is called where a handle is unpickled, by its name there."""
    module: Any = sys.modules.setdefault("_masterslave", types.ModuleType("_masterslave"))
    if not hasattr(module, "take_shared"):
        module.take_shared = _take_here
    return cast("Callable[[bytes, str], Any]", module.take_shared)
