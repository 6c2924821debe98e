"""Objects that the script has shared, as a child has them: each is asked for once, and kept.

A handle in arguments, or in what a function uses, is pickled as a call of ``take_shared``, which
is found here as ``_masterslave.take_shared``. Unpickled, it is the object.

::

    main thread   unpickles -> take -> Want ------> agent, which has it fetched
    watchdog      found <------------- Found <-----
    main thread   maps it, unpickles it, goes on
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from ...blobs.reading import OBJECT, BlobGone, open_blob
from .answers import TakenBack, Unsendable
from .frames import NOT_SHARED, Found, Want
from .outbox import Outbox

__all__ = ["SharedObjects"]

_ASK_AGAIN_S = 10.0
_TRIES = 3

_Key = tuple[int, str, bytes]
"""The farm that is served, by its number; and of the handle: whose it is, and the hash."""


class SharedObjects:
    """Keeps shared objects until the agent says that they are dropped.

    Args:
        outbox: To the agent.
        farm: Returns the number of the farm whose call runs.

    Threads: any may take; the watchdog tells what was found.
    """

    def __init__(self, outbox: Outbox, farm: Callable[[], int]) -> None:
        self.noted: list[bytes] | None = None
        """Where hashes of what is taken are noted, while a function is unpickled."""
        self._outbox, self._farm = outbox, farm
        self._objects: dict[_Key, Any] = {}
        self._results: dict[_Key, Callable[[], Any]] = {}
        """What makes results of other tasks: each task that is given one has its own."""
        self._taking = threading.RLock()  # an object may have others in it
        self._answers: dict[bytes, Found] = {}
        self._answered = threading.Condition()

    def take(self, digest: bytes, origin: str) -> Any:
        """Return an object; called where a handle is unpickled.

        Raises:
            Unsendable: It is not to be had; why, in words for the script.
            TakenBack: It is gone with the master that has handed the call out.
        """
        if self.noted is not None:
            self.noted.append(digest)
        key = (self._farm(), origin, digest)
        try:
            return self._objects[key]
        except KeyError:
            pass
        with self._taking:
            if key not in self._objects:
                make = self._results.get(key)
                if make is None:
                    kind, make = self._fetch(key)
                    if kind == OBJECT:
                        self._objects[key] = make()
                        return self._objects[key]
                    self._results[key] = make
                return make()
            return self._objects[key]

    def found(self, answer: Found) -> None:
        """The agent has answered."""
        with self._answered:
            self._answers[answer.digest] = answer
            self._answered.notify_all()

    def drop(self, farm: int, digests: Sequence[bytes]) -> None:
        """Forget these objects of a farm, or all of them if none is named."""
        for kept in (self._objects, self._results):
            for key in list(kept):
                if key[0] == farm and (not digests or key[2] in digests):
                    del kept[key]

    def _fetch(self, key: _Key) -> tuple[int, Callable[[], Any]]:
        farm, origin, digest = key
        why = ""
        for _ in range(_TRIES):
            answer = self._ask(Want(farm, digest, origin))
            if answer.is_gone:
                raise TakenBack
            if answer.refused:
                raise Unsendable(NOT_SHARED, answer.refused)
            try:
                return open_blob(answer.parts)
            except BlobGone as error:  # dropped while it was looked for, and shared again
                why = str(error)
        raise Unsendable(NOT_SHARED, f"an object that was shared cannot be read here: {why}")

    def _ask(self, want: Want) -> Found:
        self._outbox.flush()  # this may take long
        with self._answered:
            self._answers.pop(want.digest, None)
        while True:
            self._outbox.say(want)
            with self._answered:
                self._answered.wait_for(lambda: want.digest in self._answers, _ASK_AGAIN_S)
                answer = self._answers.pop(want.digest, None)
            if answer is not None:
                return answer
