"""Code objects without what does not change what they compute: where they stand, in which file.

Two code objects have one digest if they do the same, though one was compiled from a text with
other comments and blank lines, on other lines, elsewhere, or is a class's body or a function moved.
Names of variables, annotations and docstrings count: code can read them. Bytecode differs between
releases of Python, and so do the digests.
"""

from __future__ import annotations

import dis
import functools
from types import CodeType
from typing import Any, NamedTuple

from masterslave.journal.canonical import Walk, digest_of, node

__all__ = ["Import", "Look", "Read", "look_at"]

_READS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}
_BETWEEN = {"EXTENDED_ARG", "CACHE", "PUSH_NULL"}
_OF_PLACE = {"__firstlineno__", "__static_attributes__"}
"""What a class's body sets from Python 3.13 on: its line, and names in the order of a set."""

_CONSTANTS = frozenset(dis.hasconst)
_NESTED, _HAS_DOCSTRING = 0x10, 0x4000000


class Read(NamedTuple):
    """A global that is read, and the attributes that are read of it at once: ``a.b.c``."""

    name: str
    attributes: tuple[str, ...]


class Import(NamedTuple):
    """What is imported when the code is run."""

    level: int
    name: str
    names: tuple[str, ...]


class Look(NamedTuple):
    """What there is to know of a code object, and of those in it.

    Attributes:
        digest: Of what it does.
        reads: The globals that it reads, in its order.
        imports: What it imports.
    """

    digest: bytes
    reads: tuple[Read, ...]
    imports: tuple[Import, ...]


@functools.lru_cache(maxsize=10_000)
def look_at(code: CodeType) -> Look:
    """Look at a code object.  Threads: any."""
    reads: dict[Read, None] = {}
    imports: dict[Import, None] = {}
    instructions, constants = _read(code, reads, imports)
    for constant in constants:
        if isinstance(constant, CodeType):
            inner = look_at(constant)
            reads.update(dict.fromkeys(inner.reads))
            imports.update(dict.fromkeys(inner.imports))
    form = (
        code.co_name,
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount),
        code.co_flags & ~(_NESTED | _HAS_DOCSTRING),
        code.co_names,
        code.co_varnames,
        code.co_cellvars,
        code.co_freevars,
        code.co_exceptiontable,
        instructions,
        (*constants, _docstring_of(code)),
    )
    return Look(digest_of(_Constants().whole(form)), tuple(reads), tuple(imports))


class _Constants(Walk):
    """Writes constants, with code objects among them."""

    def other(self, value: Any) -> bytes:
        if isinstance(value, CodeType):
            return node(b"c", look_at(value).digest)
        return super().other(value)

    def fresh(self) -> Walk:
        return _Constants(self)


def _docstring_of(code: CodeType) -> str | None:
    """Return the docstring, which no instruction loads."""
    first = code.co_consts[0] if code.co_consts else None
    return first if isinstance(first, str) else None


def _read(
    code: CodeType, reads: dict[Read, None], imports: dict[Import, None]
) -> tuple[bytes, list[Any]]:
    """Return the instructions, and the constants that they load, in the order in which they do;
    note what is read and imported.
    """
    done: list[tuple[int, int]] = []
    constants: list[Any] = []
    chain: list[str] | None = None
    for each in dis.get_instructions(code):
        if chain is not None and each.opname not in _BETWEEN:
            if each.opname in _ATTRIBUTES:
                chain.append(each.argval)
            else:
                reads[Read(chain[0], tuple(chain[1:]))] = None
                chain = None
        if each.opname == "EXTENDED_ARG":
            continue
        if each.opname in _READS:
            chain = [each.argval]
        elif each.opname == "IMPORT_NAME":
            imports[_import_of(each.argval, constants)] = None
        elif each.opname == "STORE_NAME" and each.argval in _OF_PLACE:
            if done.pop()[0] in _CONSTANTS:
                constants.pop()
            continue
        if each.opcode in _CONSTANTS:
            done.append((each.opcode, len(constants)))
            constants.append(code.co_consts[each.arg or 0])
        else:
            done.append((each.opcode, each.arg or 0))
    flat = b"".join([op.to_bytes(2, "big") + arg.to_bytes(4, "big") for op, arg in done])
    return flat, constants


def _import_of(name: str, constants: list[Any]) -> Import:
    """Return what an instruction imports: how far up and which names are the constants before."""
    level, names = constants[-2:] if len(constants) > 1 else (0, None)
    listed = names if isinstance(names, tuple) else ()
    return Import(level if isinstance(level, int) else 0, name, listed)
