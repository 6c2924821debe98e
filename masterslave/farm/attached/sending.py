"""What an attached script sends: tasks and functions, as the wire has them.

Single tasks of one function on the same terms go as one row; each span, or a part of it, is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from masterslave.farm.attached.backlog import Portion
from masterslave.master.submission import Function
from masterslave.protocol.attaching import Request, SentFunction, SentTasks
from masterslave.protocol.encoding import encode
from masterslave.protocol.hand_outs import CALL
from masterslave.scheduler import Terms

__all__ = ["Told", "pack_terms"]

_FIELDS = Terms.__struct_fields__


class Told:
    """What the farm was told in this session, and is not told again."""

    def __init__(self) -> None:
        self._functions: set[bytes] = set()
        self._parts: set[bytes] = set()

    def request(self, ticket: str, portions: Sequence[Portion]) -> Request:
        """Return what submits these; ``note`` it when it was taken."""
        functions: dict[bytes, SentFunction] = {}
        for portion in portions:
            function = portion.submission.function
            if function.digest not in self._functions and function.digest not in functions:
                functions[function.digest] = self._sent(function)
        return Request(ticket, tuple(functions.values()), tuple(_rows(portions)))

    def note(self, request: Request) -> None:
        """The farm has it."""
        for function in request.functions:
            self._functions.add(function.digest)
            self._parts.update(function.parts)

    def _sent(self, function: Function) -> SentFunction:
        code = function.code
        new = {digest: part for digest, part in code.parts.items() if digest not in self._parts}
        return SentFunction(
            function.digest,
            bytes(function.packed),
            function.name,
            function.kind,
            function.is_named,
            code.name,
            new,
        )


class _Alike(NamedTuple):
    """What single tasks have in common that go in a row; of a span, itself."""

    span: int
    function: bytes
    terms: Terms
    after: tuple[int, ...]
    given: tuple[tuple[bytes, int], ...]


def pack_terms(terms: Terms) -> bytes:
    """Pack terms, without what this script alone knows of them."""
    return encode(Terms(*(getattr(terms, name) for name in _FIELDS)))


def _rows(portions: Sequence[Portion]) -> Iterator[SentTasks]:
    for alike, row in groupby(portions, key=_alike):
        several = list(row)
        submission = several[0].submission
        arguments = tuple(bytes(each) for portion in several for each in portion.arguments)
        yield SentTasks(
            several[0].first,
            alike.function,
            pack_terms(alike.terms),
            arguments,
            submission.form if submission.is_span else CALL,
            alike.after,
            submission.item_bytes if submission.is_span else 0,
            alike.given,
        )


def _alike(portion: Portion) -> _Alike:
    one = portion.submission
    span = one.number if one.is_span else -1
    return _Alike(span, one.function.digest, one.terms, portion.after, portion.given)
