"""Reading regular expressions: those of Python that can be matched in one look at a name.

Not among them are backreferences, looking ahead or behind, and what never gives back. Which
characters an atom stands for, and what is no expression at all, ``re`` is asked: both take no time.
"""

from __future__ import annotations

import re
import string
from typing import NamedTuple

from nameserver.errors import NamingError

__all__ = ["ALPHABET", "WHAT_TO_DO", "Each", "Edge", "Either", "Node", "Parser", "Repeat", "Set"]

ALPHABET = string.ascii_letters + string.digits + "_-."
"""The characters of a name, see :mod:`nameserver.record`."""

WHAT_TO_DO = "list a prefix, or all names and choose among them yourself"

_FLAGS = re.compile(r"\(\?([aimsu]+)\)")
_GROUP = re.compile(r"\((?:\?:|\?P<\w+>)?(?!\?)")
_ATOM = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]|\\[^0-9bBxuUN]|[^\\\[()|*+?]", re.DOTALL)
_REPEAT = re.compile(r"(?:[*+?]|\{(\d*)(,?)(\d*)\})(\?|\+)?")


class Set(NamedTuple):
    """An atom: one character of these."""

    characters: frozenset[str]


class Edge(NamedTuple):
    """The beginning of a name, or its end."""

    is_end: bool


class Each(NamedTuple):
    """One after the other."""

    parts: tuple[Node, ...]


class Either(NamedTuple):
    """One of them."""

    parts: tuple[Node, ...]


class Repeat(NamedTuple):
    """So many of them; None: as many as there are."""

    part: Node
    least: int
    most: int | None


Node = Set | Edge | Each | Either | Repeat


class Parser:
    """Reads an expression that ``re`` takes."""

    def __init__(self, text: str) -> None:
        flags = _FLAGS.match(text)
        self._text = text
        self._at = flags.end() if flags else 0
        self._flags = re.IGNORECASE if flags and "i" in flags[1] else re.NOFLAG

    def parse(self) -> Node:
        """Return what the expression is made of.

        Raises:
            NamingError: It has parts that need more than one look at a name.
        """
        node = self._either()
        assert self._at == len(self._text)
        return node

    def _either(self) -> Node:
        parts = [self._each()]
        while self._text.startswith("|", self._at):
            self._at += 1
            parts.append(self._each())
        return Either(tuple(parts)) if parts[1:] else parts[0]

    def _each(self) -> Node:
        parts = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._repeated(self._one()))
        return Each(tuple(parts))

    def _one(self) -> Node:
        if self._text[self._at] == "(":
            group = _GROUP.match(self._text, self._at)
            if group is None:
                raise self._refused("nothing but ( ), (?: ) and (?P<name> ) may be a group")
            self._at = group.end()
            inner = self._either()
            self._at += 1  # the ")"
            return inner
        atom = _ATOM.match(self._text, self._at)
        if atom is None:
            raise self._refused(f"{self._text[self._at : self._at + 2]} cannot be used")
        self._at = atom.end()
        if atom[0] in ("^", r"\A", "$", r"\Z", r"\z"):
            return Edge(atom[0] not in ("^", r"\A"))
        takes = re.compile(atom[0], self._flags).fullmatch
        return Set(frozenset(each for each in ALPHABET if takes(each)))

    def _repeated(self, node: Node) -> Node:
        repeat = _REPEAT.match(self._text, self._at)
        if repeat is None or repeat[0].startswith("{}"):  # which is a text
            return node
        if repeat[4] == "+":
            raise self._refused(f"{repeat[0]} cannot be used")
        self._at = repeat.end()
        match repeat[0][0]:
            case "*":
                return Repeat(node, 0, None)
            case "+":
                return Repeat(node, 1, None)
            case "?":
                return Repeat(node, 0, 1)
        least = int(repeat[1] or 0)
        if not repeat[2]:
            return Repeat(node, least, least)
        return Repeat(node, least, int(repeat[3]) if repeat[3] else None)

    def _refused(self, why: str) -> NamingError:
        return NamingError(
            f"{self._text!r} is a regular expression that a name server does not match: {why}; "
            f"{WHAT_TO_DO}"
        )
