"""Serpent is text: a Python literal. This reads it, in one pass, without Python's own parser.

``ast.literal_eval``, which serpent itself uses, takes 500 times the size of a message in memory, is
disturbed by other threads in early releases of 3.11 and 3.12 (CPython issue 106905), and prints
warnings that a peer has chosen. What is read here is what serpent writes, be it in Python, Java or
.NET; that is no arithmetic, no other names than three, no text in several pieces.
"""

from __future__ import annotations

import re
from typing import Any, Final

from remoteobj.errors import WireError

_BLANK = r"[ \t\r\n\f]*+(?:\#[^\n]*+[ \t\r\n\f]*+)*+"
_ESCAPE = r"x[0-9a-fA-F]{2}|[\\'\"abfnrtv]|[0-3]?[0-7]{1,2}"
_WIDE = r"u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}"
_NUMBER = r"(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?+"
_NO_MORE = r"(?![.\w+-])"


def _quoted(escape: str) -> str:
    return "|".join(rf"{q}[^{q}\\\n]*+(?:\\(?:{escape})[^{q}\\\n]*+)*+{q}" for q in ("'", '"'))


# One match is one value, or one end of a container, and the comma or colon behind it. Nothing in it
# is tried twice (``*+``), so that no text takes longer than its length.
_ITEM = re.compile(
    rf"""{_BLANK}(?:
        ({_quoted(f"{_ESCAPE}|{_WIDE}")})
      | ([+-]?[0-9]++){_NO_MORE}
      | ([+-]?{_NUMBER}){_NO_MORE}
      | (None|True|False)\b
      | (b(?:{_quoted(_ESCAPE)}))
      | ([+-]?{_NUMBER}(?:[+-]{_NUMBER})?+j)\b
      | ([\[({{])
      | ([\])}}])
      | (\Z)
      | (.)
    )(?:{_BLANK}[,:])?+""",
    re.VERBOSE | re.DOTALL,
)
_TEXT, _INT, _FLOAT, _WORD, _BYTES, _COMPLEX, _OPEN, _CLOSE, _END = range(1, 10)
_WORDS: Final = {"None": None, "True": True, "False": False}
_CLOSES: Final = {"[": "]", "(": ")", "{": "}"}


def read_literal(data: bytes | bytearray | memoryview, max_depth: int) -> Any:
    """Read one literal.

    Raises:
        WireError: The bytes are none, or are nested too deeply.
        ValueError, TypeError: What stands there is no value: an int of 5,000 digits, a list as key.
    """
    text = str(data, "utf-8")
    outer: list[tuple[str, list[Any], int]] = []
    opener, items, colons = "", [], 0  # of what is open: in a dict, keys and values in turn
    is_due = True  # whether a value may come
    for match in _ITEM.finditer(text):
        kind: int = match.lastindex  # type: ignore[assignment]
        found = match[kind]
        if kind < _OPEN and is_due:
            if kind == _TEXT and "\\" not in found:
                items.append(found[1:-1])
            else:
                items.append(_read_atom(kind, found))
        elif kind == _OPEN and is_due and text[match.end() - 1] == found:
            if len(outer) >= max_depth:
                raise WireError(f"the payload is nested more than {max_depth} levels deep")
            outer.append((opener, items, colons))
            opener, items, colons = found, [], 0
            continue
        elif kind == _CLOSE and _CLOSES.get(opener) == found:
            value = _close(opener, items, colons, is_due)
            opener, items, colons = outer.pop()
            items.append(value)
        elif kind == _END and not opener and not is_due:
            return items[0]
        else:
            break
        sign = text[match.end() - 1]
        is_due = sign in ",:"
        if is_due:
            if sign == ":" and opener == "{" and len(items) == 2 * colons + 1:
                colons += 1
            elif sign == ":" or not opener:
                break
    raise WireError(f"the payload is not serpent: see character {match.start()} of {len(text)}")


def _close(opener: str, items: list[Any], colons: int, has_comma: bool) -> Any:
    if opener == "[":
        return items
    if opener == "(":
        return items[0] if len(items) == 1 and not has_comma else tuple(items)
    if items and not colons:
        return set(items)
    if len(items) != 2 * colons:
        raise WireError("the payload is not serpent: a dict has a key without a value")
    return dict(zip(items[::2], items[1::2], strict=True))


def _read_atom(kind: int, found: str) -> Any:
    if kind == _TEXT:
        return _unescape(found[1:-1])
    if kind == _INT:
        return int(found)
    if kind == _FLOAT:
        return float(found)
    if kind == _WORD:
        return _WORDS[found]
    if kind == _COMPLEX:
        return complex(found)
    body = found[2:-1]
    return body.encode("ascii") if "\\" not in body else _unescape(body).encode("latin-1")


def _unescape(body: str) -> str:
    # What is not in Latin-1 is escaped first, so that every byte stands for one character.
    return body.encode("latin-1", "backslashreplace").decode("unicode_escape")
