"""Functions on their way out, pickled once for as long as they stay what they are.

cloudpickle takes along what a function uses of its module, its closure and its defaults, as that is
when it is pickled. So a function that was pickled before is pickled again as soon as one of these
is another object, and each time where one of them could change without being another: a list, a
dict, an instance.
"""

from __future__ import annotations

import functools
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import cloudpickle

from masterslave.codeset import NOTHING, CodeSet, with_code, without_code
from masterslave.errors import BadTaskName, NotPicklable
from masterslave.farm.handles import notes
from masterslave.farm.packing import reason_of, small_enough
from masterslave.farm.travelling import LocalCode
from masterslave.master.submission import Function
from masterslave.protocol.functions import NAMED, hash_of

__all__ = ["FunctionPacker", "name_of_function", "named", "pack_initializer"]

_UNCHANGING = (int, float, complex, str, bytes, bool, type(None), range)
_MISSING = object()
_MAX_USES = 200
_MAX_KEPT = 1000


class _Use(NamedTuple):
    """A name that a function uses: where it looks it up, and what it finds."""

    namespace: Any
    name: str
    value: object

    def is_same(self) -> bool:
        return self.namespace.get(self.name, _MISSING) is self.value


class _Cell(NamedTuple):
    """A variable of an enclosing function, and what it holds."""

    cell: types.CellType
    value: object

    def is_same(self) -> bool:
        try:
            return self.cell.cell_contents is self.value
        except ValueError:  # it is empty
            return False


class _Body(NamedTuple):
    """A function that is taken along, and what it is made of."""

    of: Any
    code: types.CodeType
    defaults: object

    def is_same(self) -> bool:
        fn = self.of
        return (
            fn.__code__ is self.code
            and fn.__defaults__ is self.defaults
            and not fn.__kwdefaults__
            and not fn.__dict__
        )


class _Members(NamedTuple):
    """A class that is taken along, and how many members it has."""

    kind: type
    number: int

    def is_same(self) -> bool:
        return len(vars(self.kind)) == self.number


_Seen = _Use | _Cell | _Body | _Members


class _Changing(Exception):
    """Something is used that can change and stay the same object."""


class _Kept(NamedTuple):
    function: Function
    uses: tuple[_Seen, ...]


class FunctionPacker:
    """Pickles functions, and remembers those that can be remembered.  Threads: any.

    Args:
        code: The modules that travel with them.
        handlers: Digest of those that the farm has.
    """

    def __init__(self, code: LocalCode | None = None, handlers: bytes = b"") -> None:
        self._code = code
        self._handlers = handlers
        self._kept: weakref.WeakKeyDictionary[Callable[..., Any], _Kept] = (
            weakref.WeakKeyDictionary()
        )

    def pack(self, fn: Callable[..., Any] | str) -> Function:
        """Return the function as it is now, or the named task.

        Raises:
            NotPicklable: It uses something that cannot leave this process, such as an open file or
                a lock: make that inside the function instead.
            BadTaskName: No task can have this name.
        """
        code = self._code
        if type(fn) is not types.FunctionType:
            if isinstance(fn, str):
                return named(fn, self._handlers)
            return self._with_code(_pack(fn), _codes_of(fn))
        kept = self._kept.get(fn)
        is_same = kept is not None and all(use.is_same() for use in kept.uses)
        if kept is not None and is_same and (code is None or code.is_current()):
            return kept.function
        try:
            uses = kept.uses if kept is not None and is_same else tuple(_uses_of(fn, set()))
        except _Changing:
            self._kept.pop(fn, None)
            return self._with_code(_pack(fn), (fn.__code__,))
        bare = kept.function if kept is not None and is_same else _pack(fn)
        function = self._with_code(bare, [use.code for use in uses if type(use) is _Body])
        if len(self._kept) >= _MAX_KEPT:  # some hold each other, and are never collected
            self._kept.clear()
        self._kept[fn] = _Kept(function, uses)
        return function

    def refresh(self, function: Function) -> Function:
        """Return a function that was packed before, with the modules that travel now."""
        if function.is_named or self._code is None or self._code.is_current():
            return function
        return self._with_code(function, ())

    def _with_code(self, function: Function, codes: Iterable[types.CodeType]) -> Function:
        code = NOTHING if self._code is None else self._code.look(codes)
        return function if function.code is code else _join(function, code)


def _join(function: Function, code: CodeSet) -> Function:
    packed = with_code(code, bytes(without_code(function.packed)))
    return Function(hash_of(packed), packed, function.name, function.kind, code=code)


def _codes_of(fn: Any) -> list[types.CodeType]:
    """Return what is run first when something is called that is no plain function."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    fn = getattr(fn, "__func__", fn)
    if not isinstance(fn, types.FunctionType):
        fn = vars(type(fn)).get("__call__")
    return [fn.__code__] if isinstance(fn, types.FunctionType) else []


@functools.lru_cache(maxsize=1000)
def named(name: str, handlers: bytes = b"") -> Function:
    """Return what is called by its name: a handler's method ``do_<name>``.

    Args:
        handlers: Digest of those that the farm has: a slave of several farms tells them apart.

    Raises:
        BadTaskName: No method can be called that.
    """
    if not name or not f"do_{name}".isidentifier():
        raise BadTaskName(
            f"{name!r} names no task: a task is a function, or the <name> of a method do_<name> of "
            "a slave's handlers"
        )
    packed = NAMED + name.encode()
    digest = hash_of(packed + handlers)
    return Function(digest, packed, name, f"task:{name}", is_named=True)


def _pack(fn: Callable[..., Any]) -> Function:
    if not callable(fn):
        raise NotPicklable(f"a task is a function, not {fn!r}")
    name = name_of_function(fn)
    try:
        packed: bytes = cloudpickle.dumps(fn, protocol=5)
    except Exception as error:
        raise NotPicklable(
            f"function {name}() cannot be sent to a slave: {reason_of(error)}; "
            "make files, locks and connections inside the function"
        ) from error
    small_enough(packed, f"function {name}()")
    kind = f"{getattr(fn, '__module__', '')}.{name}"
    holds = notes.find(packed) if notes.blobs else None
    return Function(hash_of(packed), packed, name, kind, holds=holds)


def pack_initializer(initializer: Callable[..., object] | None, args: tuple[Any, ...]) -> bytes:
    """Pickle what a child does before its first task; empty for nothing.

    Raises:
        NotPicklable: It cannot be sent.
        TypeError: It cannot be called, or *args* are no row of arguments.
    """
    if initializer is None:
        return b""
    if not callable(initializer):
        raise TypeError(f"initializer must be a callable, not {initializer!r}")
    if isinstance(args, str | bytes) or not isinstance(args, Iterable):
        raise TypeError(f"initargs are the arguments of initializer, as a tuple, not {args!r}")
    args = tuple(args)
    try:
        packed: bytes = cloudpickle.dumps((initializer, args), protocol=5)
    except Exception as error:
        raise NotPicklable(
            f"initializer {name_of_function(initializer)}() or its arguments cannot be sent to a "
            f"slave: {reason_of(error)}"
        ) from error
    return packed


def name_of_function(function: Callable[..., Any]) -> str:
    """Return what a function is called, for people."""
    while isinstance(function, functools.partial):  # its repr() holds the arguments
        function = function.func
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return name if isinstance(name, str) else type(function).__qualname__


def _uses_of(fn: types.FunctionType, seen: set[int]) -> Iterator[_Seen]:
    """Yield what cloudpickle takes along of a function, and of the functions that it uses.

    Raises:
        _Changing: Some of it can change and stay the same object, or there is too much of it.
    """
    if id(fn) in seen:
        return
    seen.add(id(fn))
    if len(seen) > _MAX_USES or vars(fn) or fn.__kwdefaults__:
        raise _Changing
    yield _Body(fn, fn.__code__, fn.__defaults__)
    if _travels_by_name(fn):
        yield _name_of(fn)
        return
    for value in fn.__defaults__ or ():
        yield from _check(value, seen)
    for cell in fn.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:
            raise _Changing from None
        yield _Cell(cell, value)
        yield from _check(value, seen)
    for name in _names_in(fn.__code__):
        value = fn.__globals__.get(name, _MISSING)
        yield _Use(fn.__globals__, name, value)
        if value is not _MISSING:  # a builtin, an attribute, or defined later
            yield from _check(value, seen)


def _check(value: object, seen: set[int]) -> Iterator[_Seen]:
    kind = type(value)
    if kind in _UNCHANGING:
        return
    if kind is types.BuiltinFunctionType:  # or a method of something, as in get = table.get
        if not isinstance(value.__self__, types.ModuleType | None):  # type: ignore[attr-defined]
            raise _Changing
        return
    if kind is types.ModuleType:
        name = value.__name__  # type: ignore[attr-defined]
        if (
            sys.modules.get(name) is not value
            or name in cloudpickle.list_registry_pickle_by_value()
        ):
            raise _Changing  # it is taken along as a whole
        return
    if kind in (tuple, frozenset):
        for item in value:  # type: ignore[attr-defined]
            yield from _check(item, seen)
    elif isinstance(value, types.FunctionType):
        yield from _uses_of(value, seen)
    elif isinstance(value, type):
        yield from _uses_of_class(value, seen)
    else:
        raise _Changing


def _uses_of_class(kind: type, seen: set[int]) -> Iterator[_Seen]:
    if id(kind) in seen:
        return
    seen.add(id(kind))
    if _travels_by_name(kind):
        yield _name_of(kind)
        return
    yield _Members(kind, len(vars(kind)))
    for base in kind.__bases__:
        yield from _uses_of_class(base, seen)
    for name, value in vars(kind).items():
        yield _Use(vars(kind), name, value)
        is_wrapped = isinstance(value, staticmethod | classmethod)
        if name not in _OF_EVERY_CLASS:
            yield from _check(value.__func__ if is_wrapped else value, seen)


_OF_EVERY_CLASS = {"__dict__", "__weakref__", "__doc__", "__module__", "__annotations__"}


def _travels_by_name(thing: Any) -> bool:
    """Tell whether cloudpickle writes only where a function or class is to be found."""
    module = thing.__module__
    found: Any = sys.modules.get(module or "")
    if found is None or module == "__main__":
        return False
    if module in cloudpickle.list_registry_pickle_by_value():
        return False
    for part in thing.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is thing


def _name_of(thing: Any) -> _Use:
    """Return where a thing that travels by name is found."""
    namespace, name = vars(sys.modules[thing.__module__]), thing.__qualname__.partition(".")[0]
    return _Use(namespace, name, namespace.get(name, _MISSING))


def _names_in(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)
