"""The script's own modules, found, read and put together as a code set.

What travels is what the script has imported of its own modules, and what the text of those imports
later. A source is read when its module is seen first, and again when that was reloaded; an edited
file that the script has not loaded is not what it runs.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ModuleSpec, PathFinder
from importlib.util import decode_source
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

from masterslave.codeset import (
    COMPILED,
    MAIN,
    MODULE,
    NOTHING,
    PACKAGE,
    SPACE,
    CodeSet,
    Entry,
    pack_entries,
)
from masterslave.farm.imports import imports_of_code, imports_of_source
from masterslave.farm.modules import is_installed, is_local_folder, is_ours, may_travel
from masterslave.protocol.functions import hash_of

__all__ = ["LocalCode", "Source", "entry_of_file"]

log = logging.getLogger("masterslave")

_MAX_SCRIPT_BYTES = 1024 * 1024
_shadowing: set[str] = set()


class Source(NamedTuple):
    """An entry, and what it stands for."""

    entry: Entry
    content: bytes


class _Watch:
    """A finder that finds nothing, and so hears of each module that is imported or reloaded."""

    def __init__(self) -> None:
        self.times = 0

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Count."""
        self.times += 1

    def begin(self) -> None:
        """Be asked before all other finders."""
        if not any(each is self for each in sys.meta_path):
            sys.meta_path.insert(0, self)


_watch = _Watch()


class LocalCode:
    """What of the script's own a farm's functions need.  Threads: any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = self._times = -1
        self._specs: dict[str, ModuleSpec] = {}
        """Of all modules that were judged."""
        self._sources: dict[str, Source] = {}
        self._looked_for: set[str] = set()
        self._looked_into: set[CodeType] = set()
        self._is_new = False
        self._set = NOTHING

    def is_current(self) -> bool:
        """Tell whether nothing was imported or reloaded since ``look``; this is quick."""
        return len(sys.modules) == self._count and self._times == _watch.times

    def look(self, codes: Iterable[CodeType] = ()) -> CodeSet:
        """Return what is needed now.

        Args:
            codes: Of functions that are about to travel.
        """
        with self._lock:
            if not self.is_current():
                _watch.begin()
                self._times, self._count = _watch.times, len(sys.modules)
                self._look_at_modules()
            for code in codes:
                if code not in self._looked_into:
                    self._looked_into.add(code)
                    self._look_for(imports_of_code(code))
            if self._is_new:
                self._is_new = False
                self._set = _put_together(self._sources.values())
            return self._set

    def source_of(self, name: str) -> Source | None:
        """Return what travels for a module, as of the last ``look``; None: nothing does."""
        with self._lock:
            return self._sources.get(name)

    def add(self, sources: Iterable[Source]) -> None:
        """Have these travel, too."""
        with self._lock:
            for source in sources:
                self._add(source)
            self._count = -1

    def _add(self, source: Source) -> None:
        key = source.entry.name or source.entry.file
        if self._sources.get(key) != source:
            self._sources[key] = source
            self._is_new = True

    def _look_at_modules(self) -> None:
        """Judge what was imported since the last time."""
        if not self._specs:
            self._look_at_script()
        new: list[Source] = []
        for name, module in list(sys.modules.items()):
            spec = getattr(module, "__dict__", {}).get("__spec__")
            if spec is None or self._specs.get(name) is spec:
                continue
            self._specs[name] = spec
            if getattr(spec, "name", None) == name and (source := _judge(spec)) is not None:
                new.append(source)
        for source in new:
            self._add_with_imports(source, late_only=True)

    def _look_at_script(self) -> None:
        file = getattr(sys.modules.get("__main__"), "__file__", None)
        if not file or not is_local_folder(str(Path(file).parent), ""):
            return
        try:
            content = Path(file).read_bytes()
        except OSError:
            return
        if len(content) <= _MAX_SCRIPT_BYTES:
            package = getattr(sys.modules["__main__"], "__package__", None) or ""
            source = Source(Entry(MAIN, "__main__", file, hash_of(content)), content)
            self._add_with_imports(source, late_only=True, package=package)

    def _add_with_imports(
        self, source: Source, *, late_only: bool, package: str | None = None
    ) -> None:
        entry = source.entry
        self._add(source)
        if entry.kind not in (MODULE, PACKAGE, MAIN):
            return
        if package is None:
            package = entry.name if entry.kind == PACKAGE else entry.name.rpartition(".")[0]
        try:
            text = decode_source(source.content)
        except (SyntaxError, UnicodeDecodeError):
            return
        self._look_for(imports_of_source(text, package, late_only=late_only))

    def _look_for(self, names: Iterable[str]) -> None:
        """Find modules that are imported by these names some time."""
        for name in names:
            parts = name.split(".")
            places: Any = None
            for depth in range(1, len(parts) + 1):
                part = ".".join(parts[:depth])
                if part in sys.modules:
                    places = getattr(sys.modules[part], "__path__", ())
                    continue
                if (depth > 1 and not places) or not may_travel(part):
                    break
                spec = _find(part, places)
                if spec is None:
                    break
                places = spec.submodule_search_locations
                if part in self._looked_for:
                    continue
                self._looked_for.add(part)
                source = _judge(spec)
                if source is None:
                    break
                self._add_with_imports(source, late_only=False)


def _find(name: str, places: Any) -> ModuleSpec | None:
    try:
        return PathFinder.find_spec(name, places)
    except Exception:  # a finder of somebody's
        return None


def _judge(spec: ModuleSpec) -> Source | None:
    """Return what is to travel for a module; None if it is no local one."""
    name, origin = spec.name, spec.origin
    if is_ours(name):
        return None
    places = spec.submodule_search_locations
    if places is not None and (origin is None or not spec.has_location):
        return _judge_space(name, [*places])
    if not origin or not spec.has_location or is_installed(origin):
        return None
    is_package = places is not None
    folder = base = Path(origin).parent
    for _ in range(name.count(".") + is_package):
        base = base.parent
    if not is_local_folder(str(folder), str(base)):
        return None
    if not may_travel(name):
        _warn_of_shadow(name, origin)
        return None
    return entry_of_file(name, Path(origin), is_package=is_package)


def entry_of_file(name: str, file: Path, *, is_package: bool) -> Source | None:
    """Return what travels for a module in a file; None if it has no source."""
    try:
        if file.name.endswith(tuple(EXTENSION_SUFFIXES)):
            seen = file.stat()
            stamp = f"{seen.st_size} {seen.st_mtime_ns}".encode()
            return Source(Entry(COMPILED, name, str(file), stamp), b"")
        if not file.name.endswith(tuple(SOURCE_SUFFIXES)):
            return None
        content = file.read_bytes()
    except OSError:
        return None
    kind = PACKAGE if is_package else MODULE
    return Source(Entry(kind, name, str(file), hash_of(content)), content)


def _judge_space(name: str, places: list[str]) -> Source | None:
    for place in places:
        base = Path(place)
        for _ in name.split("."):
            base = base.parent
        if may_travel(name) and is_local_folder(place, str(base)):
            return Source(Entry(SPACE, name, place, b""), b"")
    return None


def _warn_of_shadow(name: str, file: str) -> None:
    if name in sys.stdlib_module_names and name not in _shadowing:
        _shadowing.add(name)
        log.warning(
            "%s has the name of a module of the standard library: it does not travel, slaves use "
            "their own %s; give it another name",
            file,
            name,
        )


def _put_together(sources: Iterable[Source]) -> CodeSet:
    known = list(sources)
    named = {source.entry.name for source in known}
    whole = [
        source
        for source in sorted(known, key=lambda source: (source.entry.name, source.entry.file))
        if all(parent in named for parent in _parents(source.entry.name))
    ]
    entries = pack_entries(source.entry for source in whole)
    name = hash_of(entries)
    parts = {
        source.entry.source: source.content
        for source in whole
        if source.entry.kind not in (SPACE, COMPILED)
    }
    return CodeSet(name, {name: entries, **parts})


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]
