"""A script as the reception sees it: nothing but its messages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Self

import msgspec

from masterslave.farm.functions import FunctionPacker
from masterslave.farm.packing import pack_arguments, pack_items
from masterslave.farm.travelling import LocalCode
from masterslave.packed import unpack_value
from masterslave.protocol.attaching import (
    ATTACHING,
    OUTCOME,
    Admission,
    Answers,
    Cancel,
    Collect,
    Greeting,
    Leave,
    Offer,
    Request,
    SentAnswer,
    SentFunction,
    SentTasks,
    Taken,
)
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.hand_outs import CALL, EACH, EACH_STARRED
from masterslave.protocol.joining import CODE
from masterslave.protocol.outcomes import MIXED, VALUE, ItemOutcome
from masterslave.scheduler import Terms
from remoteobj import URI, Identity, Proxy

__all__ = ["Bare", "packed_terms", "sent_function"]

_read_mixed = msgspec.msgpack.Decoder(tuple[ItemOutcome, ...]).decode


def packed_terms(**terms: Any) -> bytes:
    """Return terms as scripts send them."""
    return msgspec.msgpack.encode(Terms(0, tags=frozenset({CODE}), **terms))


def sent_function(fn: Callable[..., Any]) -> SentFunction:
    """Return a function as scripts send it."""
    packed = FunctionPacker(LocalCode()).pack(fn)
    code = packed.code
    return SentFunction(
        packed.digest, packed.packed, packed.name, packed.kind, packed.is_named, code.name,
        code.parts,
    )  # fmt: skip


class Bare:
    """A script that is attached, until it is closed.

    Attributes:
        admission: What it was told.
        answers: By serial, as they came; each but once.
        parts: What tasks have yielded: serial, kind and item.
    """

    def __init__(
        self,
        reception: URI | str,
        ticket: str = "",
        *,
        identity: Identity | None = None,
        script: str = "bare.py",
        **greeting: Any,
    ) -> None:
        self.answers: dict[int, SentAnswer] = {}
        self.twice: list[int] = []
        self.parts: list[tuple[int, int, int]] = []
        self._got = 0
        self._functions: set[bytes] = set()
        self.proxy = Proxy(URI(str(reception)), identity=identity)
        told = Greeting(
            ATTACHING, script, "host", 1, sys.version_info[:2], ticket=ticket, **greeting
        )
        self.admission = decode(self.proxy.attach(encode(told)), Admission)
        self.ticket = self.admission.ticket
        self.next = self.admission.taken

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Be gone, as if killed."""
        self.proxy.__exit__(None, None, None)

    # What is sent.

    def calls(
        self, fn: Callable[..., Any], arguments: Sequence[Any], *, after: tuple[int, ...] = (),
        **terms: Any,
    ) -> Taken:  # fmt: skip
        """Submit a call for each of these arguments."""
        packed = tuple(pack_arguments("f", (each,), {}) for each in arguments)
        return self._send(fn, packed, CALL, after, terms)

    def items(
        self, fn: Callable[..., Any], items: Sequence[Any], *, starred: bool = False,
        after: tuple[int, ...] = (), **terms: Any,
    ) -> Taken:  # fmt: skip
        """Submit items."""
        packed = tuple(pack_items([item]) for item in items)
        return self._send(fn, packed, EACH_STARRED if starred else EACH, after, terms)

    def _send(
        self,
        fn: Callable[..., Any],
        packed: tuple[bytes, ...],
        form: int,
        after: tuple[int, ...],
        terms: dict[str, Any],
    ) -> Taken:
        function = sent_function(fn)
        is_new = function.digest not in self._functions
        self._functions.add(function.digest)
        tasks = SentTasks(self.next, function.digest, packed_terms(**terms), packed, form, after)
        taken = self.submit(Request(self.ticket, (function,) if is_new else (), (tasks,)))
        if not taken.refused:
            self.next += len(packed)
        return taken

    def submit(self, request: Request) -> Taken:
        """Send a request as it is."""
        return decode(self.proxy.submit(encode(request)), Taken)

    def offer(self, offer: Offer) -> Taken:
        """Send some of a shared object."""
        return decode(self.proxy.offer(encode(offer)), Taken)

    def cancel(self, *rows: tuple[int, int]) -> Taken:
        """Cancel tasks."""
        return decode(self.proxy.cancel(encode(Cancel(self.ticket, rows))), Taken)

    def leave(self, *, forget: bool = False) -> Taken:
        """Leave."""
        return decode(self.proxy.leave(encode(Leave(self.ticket, forget))), Taken)

    # What comes.

    def collect(self, acknowledged: int | None = None) -> Answers:
        """Ask once for answers."""
        got = self._got if acknowledged is None else acknowledged
        told = decode(self.proxy.collect(encode(Collect(self.ticket, got))), Answers)
        for answer in told.answers[max(0, self._got - told.since) :]:
            self._got += 1
            if answer.what == 5:
                self.parts.append((answer.first, answer.kind, answer.skip))
                continue
            for at in range(answer.count):
                serial = answer.first + at
                if serial in self.answers:
                    self.twice.append(serial)
                skip = answer.skip + at if answer.skip >= 0 else answer.skip
                self.answers[serial] = msgspec.structs.replace(answer, first=serial, skip=skip)
        return told

    def collect_all(self, count: int | None = None) -> dict[int, Any]:
        """Wait until there are so many answers, or all; returns the values."""
        wanted = self.next if count is None else count
        while len(self.answers) < wanted:
            told = self.collect()
            assert not told.refused, told.refused
        assert not self.twice
        return self.values

    @property
    def values(self) -> dict[int, Any]:
        """Values by serial, of those that have one."""
        return {
            serial: value
            for serial, answer in self.answers.items()
            if answer.what == OUTCOME
            for value in _values_of(answer)
        }


def _values_of(answer: SentAnswer) -> list[Any]:
    if answer.kind == VALUE:
        value = unpack_value(answer.payload)
        return [value if answer.skip < 0 else value[answer.skip]]
    if answer.kind == MIXED:
        item = _read_mixed(answer.payload)[answer.skip]
        return [unpack_value(item.payload)] if item.kind == VALUE else []
    return []
