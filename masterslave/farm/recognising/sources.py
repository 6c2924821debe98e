"""The script's own modules by their text: what they do when they are imported, all of it.

This is for what is not known by single functions: a module that a function imports when it runs,
one that it passes on as a whole, and one whose globals cannot be looked at. A slave imports such a
module from its text, so the text says what it does there.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from importlib.util import decode_source
from pathlib import Path

from masterslave.codeset import COMPILED, MAIN, MODULE, PACKAGE
from masterslave.farm.imports import imports_of_source
from masterslave.farm.recognising.bytecode import look_at
from masterslave.farm.recognising.homes import release_of
from masterslave.farm.travelling import LocalCode, Source
from masterslave.journal.canonical import Walk, digest_of

__all__ = ["Sources"]


class Sources:
    """What is known of the texts of a script's modules.  Threads: any.

    Args:
        code: The modules.
    """

    def __init__(self, code: LocalCode) -> None:
        self._code = code
        self._looked_at: dict[tuple[str, bytes], tuple[bytes, tuple[str, ...]]] = {}

    def digest(self, module: str) -> bytes | None:
        """Return a digest of a module and of all that it imports of the script's own.

        None: it is none of the script's own, or has no text.
        """
        parts: dict[str, bytes] = {}
        waiting = [module]
        while waiting:
            name = waiting.pop()
            source = self._code.source_of(name)
            if name in parts or source is None:
                continue
            parts[name], imports = self._look_at(name, source)
            waiting += imports
            waiting += [name[:place] for place, each in enumerate(name) if each == "."]
        if not parts.get(module):
            return None
        return digest_of(Walk().whole(parts))

    def _look_at(self, name: str, source: Source) -> tuple[bytes, tuple[str, ...]]:
        """Return the digest of a module alone, and the names of what it may import."""
        entry = source.entry
        found = self._looked_at.get((name, entry.source))
        if found is None:
            found = self._looked_at[name, entry.source] = self._look_into(source)
        return found

    def releases(self, names: Iterable[str]) -> dict[str, str]:
        """Return the releases of those of these modules that were installed, imported or not."""
        tops = {name.partition(".")[0] for name in names}
        return {
            top: release
            for top in tops
            if self._code.source_of(top) is None and (release := release_of(top))
        }

    def _look_into(self, source: Source) -> tuple[bytes, tuple[str, ...]]:
        entry = source.entry
        if entry.kind == COMPILED:
            try:
                return digest_of(Path(entry.file).read_bytes()), ()
            except OSError:
                return b"", ()
        if entry.kind not in (MODULE, PACKAGE, MAIN):
            return b"", ()
        package = entry.name if entry.kind == PACKAGE else entry.name.rpartition(".")[0]
        if entry.kind == MAIN:
            package = getattr(sys.modules["__main__"], "__package__", None) or ""
        try:
            text = decode_source(source.content)
            code = compile(_sorted(ast.parse(text)), "", "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return digest_of(source.content), ()
        imports = tuple(imports_of_source(text, package, late_only=False))
        known = (look_at(code).digest, self.releases(imports))
        return digest_of(Walk().whole(known)), imports


def _sorted(text: ast.Module) -> ast.Module:
    """Return a module with the functions at its end whose place in it does not matter."""
    names: dict[str, int] = {}
    for each in ast.walk(text):
        for name in (getattr(each, "name", None), getattr(each, "id", None)):
            if isinstance(name, str) and not isinstance(getattr(each, "ctx", None), ast.Load):
                names[name] = names.get(name, 0) + 1
    moved = {
        each.name: each
        for each in text.body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        and not each.decorator_list
        and not [*each.args.defaults, *filter(None, each.args.kw_defaults)]
        and names[each.name] == 1
    }
    rest = [each for each in text.body if getattr(each, "name", None) not in moved]
    text.body = [*rest, *(moved[name] for name in sorted(moved))]
    return text
