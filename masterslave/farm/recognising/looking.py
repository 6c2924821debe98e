"""A walk over functions, classes, modules, instances.

What it is for: :mod:`masterslave.farm.recognising.identifying`.
"""

from __future__ import annotations

import contextvars
import dataclasses
import enum
import functools
import types
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from importlib.util import resolve_name
from typing import Any, NamedTuple

from masterslave.codeset import COMPILED
from masterslave.farm.functions import name_of_function
from masterslave.farm.handles import Handle
from masterslave.farm.recognising.bytecode import Look, Read, look_at
from masterslave.farm.recognising.homes import (
    home_of,
    home_of_instance,
    is_by_name,
    local_home_of,
    release_of,
)
from masterslave.farm.recognising.members import HOLLOW, annotations_of, jitted, members_of, reduced
from masterslave.farm.recognising.sources import Sources
from masterslave.farm.travelling import LocalCode
from masterslave.journal.canonical import SCALARS, NoIdentity, Walk, digest_of, node
from masterslave.journal.keys import NO_KEY
from masterslave.master.sharing import Blob, Promised

__all__ = ["Known", "LiveWalk"]

_OF_A_MODULE = {"__name__", "__file__", "__package__", "__spec__", "__loader__", "__cached__",
                "__path__", "__builtins__"}  # fmt: skip
"""Globals that say where a module is, not what it does."""

_MISSING = object()


class Known(NamedTuple):
    """What a walk has to know."""

    code: LocalCode
    sources: Sources
    key_of: Callable[[Any], bytes | None] | None
    shared: weakref.WeakKeyDictionary[Blob, bytes]


class LiveWalk(Walk):
    """One walk over whatever there is in a process."""

    def __init__(self, known: Known, around: LiveWalk | None = None) -> None:
        super().__init__(around)
        self.known = known
        self._numbers: dict[int, int] = {}
        self._numbered: list[Any] = []
        self._done = 0

    def fresh(self) -> Walk:
        """Return a walk for what is sorted: of functions and classes it takes a glance."""
        return _Glance(self.known, self)

    def rest(self) -> bytes:
        """Return the nodes of the functions and classes that were met, in the order of numbers."""
        nodes = []
        while self._done < len(self._numbered):
            thing = self._numbered[self._done]
            self._done += 1
            node_of = functools.partial(_write, self, thing)
            text = self._text_of_compiled(thing)
            nodes.append(text or self._or_text(local_home_of(thing), thing.__qualname__, node_of))
        return b"".join(nodes)

    def other(self, value: Any) -> bytes:
        """Return the node of what is no data.

        Raises:
            NoIdentity: It has none.
        """
        self.count(1)
        write = _WRITERS.get(type(value)) or _writer_of(value)
        if write is not None:
            return write(self, value)
        if self.known.key_of is not None and (key := self.known.key_of(value)) is not None:
            if key == NO_KEY:
                raise NoIdentity("it is the result of a task that has no identity")
            return node(b"K", key)
        home = (home_of(value) if callable(value) else None) or home_of_instance(value)
        if home is not None:
            return _by_name(*home)
        if callable(value):
            if (text := self._text_of_compiled(value)) is not None:
                return text
            if (parts := jitted(value)) is not None:
                return node(b"J", self.write(parts))
        return self.instance(value)

    def by_number(self, value: Any) -> bytes:
        """Return the node of a function or class: its number, the thing itself comes later."""
        number = self._numbers.get(id(value))
        if number is None:
            home = home_of(value)
            if home is not None:
                return _by_name(*home)
            number = self._numbers[id(value)] = len(self._numbered)
            self._numbered.append(value)
        return node(b"@", number.to_bytes(4, "big"))

    def _or_text(self, module: str | None, name: str, write: Callable[[], bytes]) -> bytes:
        """Return a node, or of what slaves import from this module by its name, and cannot be
        looked at here, the text of the module and the name.
        """
        met = len(self._numbered)
        try:
            return write()
        except NoIdentity:
            text = self._text_of(module) if module else None
            if text is None:
                raise
            for each in self._numbered[met:]:
                del self._numbers[id(each)]
            del self._numbered[met:]
            return node(b"M", text + name.encode())

    def _text_of(self, module: str) -> bytes | None:
        self.known.code.look()
        return self.known.sources.digest(module)

    def _text_of_compiled(self, thing: Any) -> bytes | None:
        """Return the node of what stands in a compiled module of the script's own."""
        home = local_home_of(thing)
        if home is None:
            return None
        source = self.known.code.source_of(home)
        if source is None or source.entry.kind != COMPILED:
            return None
        text = self.known.sources.digest(home) or b""
        return node(b"M", text + thing.__qualname__.encode())

    def at(self, place: str, value: Any) -> bytes:
        """Return the node of a value, and say where it was if it has none."""
        try:
            return self.write(value)
        except NoIdentity as none:
            none.places.append(place)
            raise

    def function(self, fn: types.FunctionType) -> bytes:
        """Return the node of a function."""
        name, home = f"{name_of_function(fn)}()", str(fn.__globals__.get("__name__"))
        if is_by_name(home):  # made by what was installed, such as a decorator
            parts = [_by_name(home, fn.__code__.co_qualname)]
        else:
            look = look_at(fn.__code__)
            parts = [node(b"c", look.digest)]
            parts += [self._global(fn, read) for read in look.reads]
            if look.imports:
                parts.append(self._imports(fn, look))
        parts.append(self.at(f"{name} has its defaults", (fn.__defaults__, fn.__kwdefaults__)))
        parts.append(self.at(f"{name} has attributes", vars(fn)))
        for variable, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:
                parts.append(node(b"0", b""))
                continue
            parts.append(self.at(f"{name} uses {variable}", value))
        parts.append(self.write(annotations_of(fn.__annotations__, home)))
        return node(b"F", b"".join(parts))

    def _global(self, fn: types.FunctionType, read: Read) -> bytes:
        """Return the node of a global that a function reads, or of what it reads of a module."""
        if read.name in _OF_A_MODULE:
            return b""
        value: Any = fn.__globals__.get(read.name, _MISSING)
        if value is _MISSING:
            builtins: Any = getattr(fn, "__builtins__", {})
            return node(b"B" if read.name in builtins else b"?", read.name.encode())
        module, place = None, f"{name_of_function(fn)}() uses {read.name}"
        for attribute in read.attributes:
            if not isinstance(value, types.ModuleType) or is_by_name(value.__name__):
                break
            if attribute not in vars(value):  # a submodule that is imported later
                break
            module, value = value.__name__, vars(value)[attribute]
            place += f".{attribute}"
        return self._or_text(module, read.name, lambda: self.at(place, value))

    def _imports(self, fn: types.FunctionType, look: Look) -> bytes:
        package = fn.__globals__.get("__package__") or ""
        names: set[str] = set()
        for level, name, listed in look.imports:
            try:
                stem = resolve_name("." * level + name, package) if level else name
            except ImportError:
                continue
            names |= {stem, *(f"{stem}.{each}" for each in listed)}
        self.known.code.look([fn.__code__])
        digests = {name: self.known.sources.digest(name) for name in names}
        local = {name: digest for name, digest in digests.items() if digest is not None}
        return self.write((local, self.known.sources.releases(names)))

    def kind(self, kind: type) -> bytes:
        """Return the node of a class."""
        name, values = kind.__name__, members_of(kind)
        parts = [self.at(f"class {name} is a", (name, type(kind), kind.__bases__))]
        if issubclass(kind, enum.Enum):
            made = [(each, member.value) for each, member in kind.__members__.items()]
            parts.append(self.at(f"class {name} has", made))
        for key in sorted(values):
            parts += (self.write(key), self.at(f"class {name} has {key}", values[key]))
        annotations = vars(kind).get("__annotations__")
        parts.append(self.write(annotations_of(annotations, kind.__module__)))
        return node(b"C", b"".join(parts))

    def module(self, module: types.ModuleType) -> bytes:
        """Return the node of a module: of one that was installed by name, else by its text."""
        name = module.__name__
        if is_by_name(name):
            return _by_name(name, "")
        text = self._text_of(name)
        if text is None:
            raise NoIdentity(f"module {name} has no text that could be read")
        return node(b"M", text)

    def instance(self, value: Any) -> bytes:
        """Return the node of an instance, by what pickle would take along of it."""
        if (around := self.around(value)) is not None:
            return around
        kind = type(value)
        self.enter(value)
        try:
            made = reduced(value)
            if isinstance(made, str):
                return node(b"g", self.write(kind) + self.write(made))
            parts = [*made, None, None, None][:5]  # what makes it, of what; its state, items, pairs
            parts[3] = None if parts[3] is None else [*parts[3]]
            if parts[4] is not None:
                pairs = [*parts[4]]
                parts[4] = pairs if isinstance(value, OrderedDict) else dict(pairs)
            return node(b"I", b"".join(map(self.write, parts)))
        except NoIdentity as none:
            none.places.append(f"a {kind.__qualname__}")
            raise
        finally:
            self.leave(value)


class _Glance(LiveWalk):
    """A walk that writes of functions and classes what they look like, so that none is told from
    others by what it uses: which may be what is being sorted.
    """

    def by_number(self, value: Any) -> bytes:
        """Return the node of a function or class at a glance."""
        home = home_of(value)
        if home is not None:
            return _by_name(*home)
        if not isinstance(value, type):
            return node(b"c", look_at(value.__code__).digest)
        parts = [value.__name__.encode()]
        for name, member in sorted(members_of(value).items()):
            parts.append(name.encode())
            if isinstance(member, types.FunctionType):
                parts.append(look_at(member.__code__).digest)
            elif type(member) in SCALARS:
                parts.append(self.write(member))
        return node(b"~", b"".join(parts))


def _writer_of(value: Any) -> Callable[[LiveWalk, Any], bytes] | None:
    """Return what writes a value, if that goes by what its class is derived from."""
    for kinds, write in _WRITERS_OF_KINDS:
        if isinstance(value, kinds):
            return write
    return None


def _write(walk: LiveWalk, thing: Any) -> bytes:
    return walk.kind(thing) if isinstance(thing, type) else walk.function(thing)


def _by_name(module: str, name: str) -> bytes:
    return node(b"n", "\0".join((module, name, release_of(module))).encode())


def _handle(walk: LiveWalk, handle: Handle[Any]) -> bytes:
    """Return the node of what is shared, which is looked at once: it does not change."""
    blob = handle._blob
    if blob is None or isinstance(blob, Promised):
        raise NoIdentity("it is a handle of what is not here, or was released")
    known = walk.known.shared.get(blob)
    if known is None:
        known = walk.known.shared[blob] = digest_of(LiveWalk(walk.known).whole(blob.value))
    return node(b"H", known)


def _member(walk: LiveWalk, member: enum.Enum) -> bytes:
    name: str | None = member.name  # of flags together: None, or several
    return walk.row(b"E", (type(member), member.value if name is None else name), member)


def _field(walk: LiveWalk, field: dataclasses.Field[Any]) -> bytes:
    """Return the node of a dataclass's field; its type is an annotation."""
    names = [name for name in dataclasses.Field.__slots__ if name != "type"]
    return walk.row(b"a", [getattr(field, name, None) for name in names], field)


def _parts(letter: bytes, *names: str) -> Callable[[LiveWalk, Any], bytes]:
    """Return what writes things by these attributes."""

    def write(walk: LiveWalk, thing: Any) -> bytes:
        values: Iterable[Any] = [getattr(thing, name) for name in names]
        return walk.row(letter, values, thing)

    return write


_WRITERS_OF_KINDS: list[tuple[Any, Callable[[LiveWalk, Any], bytes]]] = [
    (types.FunctionType | type, lambda walk, it: walk.by_number(it)),
    (enum.Enum, _member),
    (types.ModuleType, LiveWalk.module),
    (Handle, _handle),
    (HOLLOW, lambda walk, it: walk.row(b"o", (type(it),), it)),
]
_WRITERS: dict[type, Callable[[LiveWalk, Any], bytes]] = {
    types.MethodType: _parts(b"k", "__func__", "__self__"),
    functools.partial: _parts(b"p", "func", "args", "keywords", "__dict__"),
    property: _parts(b"q", "fget", "fset", "fdel"),
    staticmethod: _parts(b"x", "__func__"),
    classmethod: _parts(b"y", "__func__"),
    types.MappingProxyType: lambda walk, it: walk.pairs(b"z", dict(it), it),
    types.CodeType: lambda walk, it: node(b"c", look_at(it).digest),
    types.MethodDescriptorType: _parts(b"w", "__objclass__", "__name__"),
    types.WrapperDescriptorType: _parts(b"w", "__objclass__", "__name__"),
    types.ClassMethodDescriptorType: _parts(b"w", "__objclass__", "__name__"),
    type(functools.lru_cache(len)): lambda walk, it: walk.row(
        b"j", (it.__wrapped__, it.cache_parameters()), it
    ),
    types.BuiltinFunctionType: lambda walk, it: (
        _by_name(*home)
        if (home := home_of(it))
        else walk._text_of_compiled(it) or walk.row(b"G", (it.__self__, it.__name__), it)
    ),
    types.MethodWrapperType: _parts(b"G", "__self__", "__name__"),
    types.GenericAlias: LiveWalk.instance,
    contextvars.ContextVar: lambda walk, it: node(b"V", it.name.encode()),
    dataclasses.Field: _field,
}
