"""Which modules a source or a function imports, as far as its text says so."""

from __future__ import annotations

import opcode
import re
from collections.abc import Iterator
from types import CodeType

__all__ = ["imports_of_code", "imports_of_source"]

_STATEMENT = re.compile(
    r"^([ \t]*)(?:from[ \t]+([.\w]+)[ \t]+import[ \t]*(\([^)]*\)|[^\n#;(]+)"
    r"|import[ \t]+([^\n#;]+))",
    re.MULTILINE,
)
_COMMENT = re.compile(r"#[^\n]*")
_IMPORT_NAME = opcode.opmap["IMPORT_NAME"]


def imports_of_source(source: str, package: str, *, late_only: bool) -> Iterator[str]:
    """Yield names that may be those of modules, in full.

    Args:
        package: What relative ones begin with.
        late_only: Only those of statements that are indented: the others were done when the module
            was imported.
    """
    for indent, origin, names, plain in _STATEMENT.findall(source):
        if late_only and not indent:
            continue
        if plain:
            yield from _first_words(plain)
            continue
        stem = origin.lstrip(".")
        level = len(origin) - len(stem)
        if level:
            parents = package.split(".")
            kept = parents[: len(parents) - level + 1]
            stem = ".".join([*kept, stem] if stem else kept)
        if stem:
            yield stem
            for name in _first_words(_COMMENT.sub("", names).strip("()")):
                yield f"{stem}.{name}"


def _first_words(listed: str) -> Iterator[str]:
    for each in listed.split(","):
        words = each.split()
        if words and re.fullmatch(r"[\w.]+", words[0]):
            yield words[0]


def imports_of_code(code: CodeType) -> Iterator[str]:
    """Yield names that may be those of modules that a function imports when it is called."""
    if _IMPORT_NAME in code.co_code:
        stems = [name for name in code.co_names if name]
        yield from stems
        for stem in stems:
            yield from (f"{stem}.{name}" for name in code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from imports_of_code(constant)
