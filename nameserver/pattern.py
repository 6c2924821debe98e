"""Regular expressions of strangers, matched in a time that has a bound whatever they are.

Python's ``re`` tries one way after another, and there are short expressions for which that takes
longer than anybody lives. Here all ways are gone at the same time: an expression is a set of places
(Thompson's construction), and what a set becomes with a character is found out once. So a name
costs a step for each of its characters, and what is found out has a limit.

Source: Russ Cox, "Regular Expression Matching Can Be Simple And Fast", 2007.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from nameserver.errors import NamingError
from nameserver.expressions import WHAT_TO_DO, Each, Edge, Either, Node, Parser, Repeat, Set

__all__ = ["MAX_PATTERN_LENGTH", "Pattern"]

MAX_PATTERN_LENGTH = 200
"""Characters of a regular expression."""

_MOST_PARTS = 300  # of an expression, its repetitions written out
_MOST_STATES = 400  # sets of places that have come up; with all characters, a second's work at most


class _Place:
    """Where one may be in an expression: before a character, at an edge, or on the way."""

    __slots__ = ("node", "then")

    def __init__(self, node: Set | Edge | None, then: list[_Place]) -> None:
        self.node = node
        self.then = then


class _State:
    """A set of places, as far as they matter, and what it becomes."""

    __slots__ = ("has_ended", "is_match", "next", "places")

    def __init__(self, places: frozenset[_Place], *, is_match: bool, has_ended: bool) -> None:
        self.places = places
        self.is_match = is_match
        """Whether what came before matches, whatever comes."""
        self.has_ended = has_ended
        """Whether it matches if nothing comes."""
        self.next: dict[str, _State] = {}


class Pattern:
    """A regular expression for names, which is matched from their beginning, as ``re.match`` does.

    Args:
        text: As Python writes them, without backreferences and looking ahead or behind.

    Raises:
        NamingError: It is none, or one that may take too long; the message says what to do.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_PATTERN_LENGTH:
            raise NamingError(
                f"a regular expression has at most {MAX_PATTERN_LENGTH} characters, not "
                f"{len(text)}: {WHAT_TO_DO}"
            )
        try:
            re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise NamingError(f"{text!r} is no regular expression: {error}") from error
        self._text = text
        self._count = 0
        self._goal = _Place(None, [])
        begin = self._build(Parser(text).parse(), self._goal)
        self._states: dict[frozenset[_Place], _State] = {}
        self._begin = self._state(self._closure([begin], is_begin=True), is_begin=True)

    def matches(self, name: str) -> bool:
        """Tell whether a name begins with what the expression says.

        Raises:
            NamingError: It has become too costly; the message says what to do.
        """
        state = self._begin
        for character in name:
            if state.is_match:
                return True
            if not state.places:
                return False
            state = state.next.get(character) or self._step(state, character)
        return state.is_match or state.has_ended

    def _step(self, state: _State, character: str) -> _State:
        then: list[_Place] = []
        for place in state.places:
            if isinstance(place.node, Set) and character in place.node.characters:
                then += place.then
        found = state.next[character] = self._state(self._closure(then))
        return found

    def _state(self, places: frozenset[_Place], *, is_begin: bool = False) -> _State:
        known = None if is_begin else self._states.get(places)
        if known is None:
            if len(self._states) >= _MOST_STATES:
                raise self._too_costly()
            known = _State(
                frozenset(place for place in places if isinstance(place.node, Set)),
                is_match=self._goal in places,
                has_ended=self._goal in self._closure(places, is_begin=is_begin, is_end=True),
            )
            if not is_begin:
                self._states[places] = known
        return known

    def _closure(
        self, places: Iterable[_Place], *, is_begin: bool = False, is_end: bool = False
    ) -> frozenset[_Place]:
        """Return where one may be from these without a further character."""
        found: set[_Place] = set()
        left = list(places)
        while left:
            place = left.pop()
            if place in found:
                continue
            found.add(place)
            match place.node:
                case None:
                    left += place.then
                case Edge(edge_is_end) if is_end if edge_is_end else is_begin:
                    left += place.then
        return frozenset(found)

    def _build(self, node: Node, then: _Place) -> _Place:
        """Return the place where *node* begins that leads to *then*."""
        self._count += 1
        if self._count > _MOST_PARTS:
            raise self._too_costly()
        match node:
            case Each(parts):
                for part in reversed(parts):
                    then = self._build(part, then)
                return then
            case Either(parts):
                return _Place(None, [self._build(part, then) for part in parts])
            case Repeat(part, least, most):
                if most is None:
                    loop = _Place(None, [then])
                    loop.then.append(self._build(part, loop))
                    then = loop
                for _ in range((most or 0) - least):
                    then = _Place(None, [then, self._build(part, then)])
                for _ in range(least):
                    then = self._build(part, then)
                return then
        return _Place(node, [then])

    def _too_costly(self) -> NamingError:
        return NamingError(
            f"{self._text!r} is a regular expression that takes too long: {WHAT_TO_DO}"
        )
