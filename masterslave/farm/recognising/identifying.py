"""Which function a task is of, so that the next run of the script knows it again.

An identity is a hash of what a function does: its code, its defaults, what is in its closure, the
globals that it reads, and so on with the functions, classes and values among them. What the script
and its own modules have is known by what it is, what was installed by its name and release
(:mod:`masterslave.farm.recognising.homes`). So an identity changes with what a task computes, and
not with comments, blank lines, the order of functions in a file, or where the file is.

A function or class is written once for each walk, and by its number wherever it is met: so circles
end.

What a function of the script's own modules reads may be what cannot be looked at, such as a file.
Slaves have that from the module's text, so the text is what such a function is known by. What the
script itself has travels as it is: there a file means that the task has no identity.

Out of sight is what no code names: ``globals()[name]``, ``getattr(module, name)`` where the module
is in a variable, ``importlib.import_module(name)``, files that a task reads, what a slave's own
handlers do.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from masterslave.farm.functions import name_of_function
from masterslave.farm.packing import reason_of
from masterslave.farm.recognising.homes import RELEASE
from masterslave.farm.recognising.looking import Known, LiveWalk
from masterslave.farm.recognising.sources import Sources
from masterslave.farm.travelling import LocalCode
from masterslave.journal.canonical import NoIdentity, digest_of, node
from masterslave.journal.keys import NO_KEY, Occurrences, keys_of_items, pair_of

__all__ = ["Identities"]

log = logging.getLogger("masterslave")

_MAX_KEPT = 1000


class _Found(NamedTuple):
    identity: bytes | None
    why_not: str


class Identities:
    """Tells which functions and which calls are the same as in another run.  Threads: any.

    Args:
        code: The script's modules.
        handlers: The classes that do named tasks, by the names of these, as far as the farm gives
            them: with them, a named task changes with what its class does.
        key_of: Returns the key of the task that something stands for, such as the future of one;
            None for all else.
    """

    def __init__(
        self,
        code: LocalCode,
        *,
        handlers: Mapping[str, type[Any]] | None = None,
        key_of: Callable[[Any], bytes | None] | None = None,
    ) -> None:
        self._handlers = handlers or {}
        self._known = Known(code, Sources(code), key_of, weakref.WeakKeyDictionary())
        self._found: dict[bytes, _Found] = {}
        self._told: set[str] = set()
        self.walk: Callable[[], LiveWalk] = partial(LiveWalk, self._known)
        """Makes what looks at arguments, for ``masterslave.journal.keys``."""

    def of(self, fn: Callable[..., Any] | str, digest: bytes = b"") -> bytes | None:
        """Return the identity of a function as it is now, or of a named task: 32 bytes.

        None: it has none, and ``why_not`` says why; that is logged once.

        Args:
            fn: What is called.
            digest: Of the function as it was just packed (``Function.digest``): in one process,
                what is packed alike is alike, so what was found for it is found at once.
        """
        found = self._found.get(digest) if digest else None
        if found is None:
            found = self._look(fn)
            if found.identity is None:
                self._tell(fn, found.why_not)
            if digest:
                if len(self._found) >= _MAX_KEPT:
                    self._found.clear()
                self._found[digest] = found
        return found.identity

    def why_not(self, fn: Callable[..., Any] | str) -> str:
        """Return why a function has no identity; empty if it has one."""
        return self._look(fn).why_not

    def key(
        self,
        fn: Callable[..., Any] | str,
        identity: bytes | None,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        occurrences: Occurrences,
    ) -> bytes:
        """Return the key of the next such call; ``NO_KEY`` where it has none, which is logged once.

        Args:
            fn: What is called, for the message.
            identity: What ``of`` has said of it.

        Threads: one at a time, for *occurrences*.
        """
        if identity is None:
            return NO_KEY
        try:
            return occurrences.key(pair_of(identity, args, kwargs, walk=self.walk))
        except NoIdentity as none:
            self._tell(fn, str(none))
            return NO_KEY

    def keys(
        self,
        fn: Callable[..., Any] | str,
        identity: bytes | None,
        items: Sequence[Any],
        occurrences: Occurrences,
        *,
        starred: bool = False,
    ) -> bytes:
        """Return the keys of calls with one item each, in a row; else as ``key``.

        Args:
            starred: Each item is a row of arguments.
        """
        if identity is None:
            return NO_KEY * len(items)

        def on_none(place: int, none: NoIdentity) -> None:
            self._tell(fn, f"item {place}, {none}")

        return keys_of_items(
            identity, items, occurrences, starred=starred, walk=self.walk, on_none=on_none
        )

    def _look(self, fn: Callable[..., Any] | str) -> _Found:
        try:
            return _Found(digest_of(self._write(fn)), "")
        except NoIdentity as none:
            return _Found(None, str(none))
        except RecursionError:
            return _Found(None, "what it uses is nested too deeply")
        except Exception as error:  # of whatever code looking at it has run
            return _Found(None, f"what it uses cannot be looked at: {reason_of(error)}")

    def _write(self, fn: Callable[..., Any] | str) -> bytes:
        if not isinstance(fn, str):
            return node(b"1", RELEASE.encode()) + self.walk().whole(fn)
        handler = self._handlers.get(fn)
        if handler is None:  # of whatever release the slave's own is
            return node(b"N", fn.encode())
        return node(b"N", fn.encode()) + node(b"1", RELEASE.encode()) + self.walk().whole(handler)

    def _tell(self, fn: Callable[..., Any] | str, why_not: str) -> None:
        name = f"task {fn!r}" if isinstance(fn, str) else f"{name_of_function(fn)}()"
        if name in self._told:
            return
        self._told.add(name)
        log.warning(
            "calls of %s have no identity, so they run again when the script is started again: %s; "
            "give them a key (key=) of your own",
            name,
            why_not,
        )
