"""What a journal knows a task by: its key, the same in each run that asks for the same again.

A *pair* is the hash of a function's identity and of arguments in canonical form. The first task of
a run with this pair has the pair itself as its key, the n-th equal one after it the hash of pair
and n: three equal draws of a random number are three tasks, and each has its own result in the next
run. A task that has no identity has ``NO_KEY``.

An identity says which function it is (``masterslave.farm.recognising``); this module only hashes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from masterslave.journal.canonical import SCALARS, TOO_ODD, NoIdentity, Walk, encode_scalars
from masterslave.journal.facts import KEY_BYTES, NO_KEY

__all__ = [
    "KEY_BYTES",
    "NO_KEY",
    "Occurrences",
    "explicit_key",
    "keys_of_items",
    "numbered",
    "pair_of",
    "task_key",
]

_FLAT, _DEEP, _NUMBERED, _GIVEN = b"F", b"D", b"N", b"G"
_NO_NAMES: Mapping[str, Any] = {}


def task_key(
    identity: bytes,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] = _NO_NAMES,
    occurrence: int = 0,
    *,
    walk: Callable[[], Walk] = Walk,
) -> bytes:
    """Return the key of a call.

    Args:
        identity: Of its function, 32 bytes.
        occurrence: How many equal calls this run has had before.
        walk: Makes what looks at arguments that are no data.

    Raises:
        NoIdentity: An argument has none; give the task a key of your own.

    Threads: any; nobody may change the arguments meanwhile.
    """
    return numbered(pair_of(identity, args, kwargs, walk=walk), occurrence)


def pair_of(
    identity: bytes,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] = _NO_NAMES,
    *,
    walk: Callable[[], Walk] = Walk,
) -> bytes:
    """Return the hash of a function and its arguments; else as ``task_key``."""
    if not kwargs and SCALARS.issuperset(map(type, args)):
        try:
            return blake2b(identity + _FLAT + encode_scalars(args), digest_size=KEY_BYTES).digest()
        except TOO_ODD:
            pass
    return _pair_of_any(identity, args, kwargs, walk)


def _pair_of_any(
    identity: bytes, args: Sequence[Any], kwargs: Mapping[str, Any], walk: Callable[[], Walk]
) -> bytes:
    steps = walk()
    nodes = [identity, _DEEP, len(args).to_bytes(4, "big")]
    named = [*((f"argument {place}", each) for place, each in enumerate(args, 1))]
    for name in sorted(kwargs):
        named.append((f"argument {name!r}", kwargs[name]))
    for place, (name, value) in enumerate(named):
        if place >= len(args):
            nodes.append(steps.write(name))
        try:
            nodes.append(steps.write(value))
        except NoIdentity as none:
            none.places.append(name)
            raise
        except RecursionError:
            raise _none_of(name, "it is nested too deeply") from None
        except Exception as error:  # of whatever code looking at it has run
            raise _none_of(name, f"it cannot be looked at: {error!r}") from error
    nodes.append(steps.rest())
    return blake2b(b"".join(nodes), digest_size=KEY_BYTES).digest()


def _none_of(name: str, reason: str) -> NoIdentity:
    none = NoIdentity(reason)
    none.places.append(name)
    return none


def numbered(pair: bytes, occurrence: int) -> bytes:
    """Return the key of the task that has so many equal ones before it."""
    if not occurrence:
        return pair
    number = _NUMBERED + occurrence.to_bytes(8, "big")
    return blake2b(pair + number, digest_size=KEY_BYTES).digest()


def explicit_key(given: object) -> bytes:
    """Return the key of a task that was given one, such as a text, a number, or a tuple of these.

    Raises:
        NoIdentity: It is no plain data.
    """
    try:
        return blake2b(_GIVEN + Walk().whole(given), digest_size=KEY_BYTES).digest()
    except NoIdentity as none:
        none.places.append("key")
        raise


class Occurrences:
    """Counts the equal tasks of one run.  Threads: one at a time.

    It keeps about 100 bytes for each pair.
    """

    def __init__(self) -> None:
        self._met: set[bytes] = set()
        self._again: dict[bytes, int] = {}

    def next(self, pair: bytes) -> int:
        """Return how many tasks with this pair there were before, and count this one."""
        met = self._met
        if pair not in met:
            met.add(pair)
            return 0
        before = self._again.get(pair, 0) + 1
        self._again[pair] = before
        return before

    def key(self, pair: bytes) -> bytes:
        """Return the key of the next task with this pair."""
        met = self._met
        if pair not in met:
            met.add(pair)
            return pair
        return numbered(pair, self.next(pair))

    def keys(self, pairs: list[bytes]) -> bytes:
        """Return the keys of the next tasks with these pairs, in a row; ``NO_KEY`` stays."""
        met, new = self._met, set(pairs)
        if len(new) == len(pairs) and NO_KEY not in new and met.isdisjoint(new):
            met |= new
            return b"".join(pairs)
        return b"".join([NO_KEY if pair == NO_KEY else self.key(pair) for pair in pairs])


def keys_of_items(
    identity: bytes,
    items: Iterable[Any],
    occurrences: Occurrences | None = None,
    *,
    starred: bool = False,
    walk: Callable[[], Walk] = Walk,
    on_none: Callable[[int, NoIdentity], None] | None = None,
) -> bytes:
    """Return the keys of one-argument calls, one for each item, in a row.

    A call has the same key whether it was submitted alone or with others.

    Args:
        identity: Of the function, 32 bytes.
        items: Its arguments.
        occurrences: Of this run; without, all items count as the first of their kind.
        starred: Each item is a row of arguments.
        walk: Makes what looks at items that are no data.
        on_none: Called with the index of an item that has no identity and gets ``NO_KEY``.

    Threads: one at a time, for *occurrences*.
    """
    rows = items if starred else zip(items)  # rows of one
    head = identity + _FLAT
    pairs = []
    issuperset, encode = SCALARS.issuperset, encode_scalars
    for place, args in enumerate(rows):
        try:
            if issuperset(map(type, args)):
                flat = head + encode(args)
                pairs.append(blake2b(flat, digest_size=KEY_BYTES).digest())
                continue
        except TOO_ODD:
            pass
        try:
            pairs.append(_pair_of_any(identity, args, _NO_NAMES, walk))
        except NoIdentity as none:
            if on_none is not None:
                on_none(place, none)
            pairs.append(NO_KEY)
    return b"".join(pairs) if occurrences is None else occurrences.keys(pairs)
