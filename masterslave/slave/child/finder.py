"""Modules of the script, imported from memory: they have travelled, nothing is on disk here.

The finder comes before all others, so a module that this machine has by the same name never
stands in for the script's. Those of the standard library do not travel, and are not asked for.
"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder
from importlib.util import decode_source, spec_from_file_location, spec_from_loader
from types import CodeType, ModuleType
from typing import Any

from ...codeset import COMPILED, DATA, MAIN, PACKAGE, SPACE, Entry, folder_of, unpack_entries

__all__ = ["Finder"]

_NOWHERE = "<the script's>"
"""Begins the ``__path__`` of packages that have travelled: no directory is called so."""


class Finder:
    """Finds what has travelled.

    Attributes:
        sources: By hash.
    """

    def __init__(self) -> None:
        self.sources: dict[bytes, bytes] = {}
        self._entries: dict[str, Entry] = {}
        self._files: dict[str, bytes] = {}

    def take(self, entries: bytes, sources: dict[bytes, bytes]) -> None:
        """Know these as well."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
            sys.path_hooks.insert(0, self._look_into)
        self.sources |= sources
        for entry in unpack_entries(entries):
            if entry.kind == DATA:
                self._files[entry.file] = entry.source
            elif entry.name not in self._entries:
                if entry.kind != MAIN:
                    self._entries[entry.name] = entry
                    _forget_foreign(entry.name)
                if entry.kind not in (SPACE, COMPILED):
                    self._files[entry.file] = entry.source
                    lines = partial(self._text_of, entry)
                    linecache.cache[entry.file] = (lines,)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module, as the import system asks."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        if entry.kind == COMPILED:
            return _find_compiled(entry)
        loader: Any = _Loader(self, entry)
        spec = spec_from_loader(name, loader, is_package=entry.kind in (PACKAGE, SPACE))
        if spec is not None and spec.submodule_search_locations is not None:
            spec.submodule_search_locations[:] = [f"{_NOWHERE}/{name}"]
            if entry.kind == SPACE:  # others may have parts of it here
                here = PathFinder.find_spec(name, path)
                if here is not None and here.origin is None:
                    spec.submodule_search_locations += here.submodule_search_locations or ()
        if spec is not None and entry.kind != SPACE:
            spec.origin = entry.file
            spec.has_location = True
        return spec

    def content_of(self, file: str) -> bytes:
        """Return what is in a file of the script's.

        Raises:
            FileNotFoundError: It has not travelled.
        """
        source = self._files.get(file)
        if source is None:
            raise FileNotFoundError(
                f"{file} has not travelled with the script's modules: send the package that it is "
                "in, by farm.send_module()"
            )
        return self.sources[source]

    def names_in(self, folder: str) -> list[str]:
        """Return what is in a folder of the script's."""
        start = folder.rstrip("/\\")
        inside = [file[len(start) :] for file in self._files if file.startswith(start)]
        below = [rest[1:] for rest in inside if rest[:1] in ("/", "\\")]
        return sorted({rest.replace("\\", "/").partition("/")[0] for rest in below})

    def text_of(self, entry: Entry) -> str:
        """Return the source of a module."""
        return decode_source(self.sources[entry.source])

    def _text_of(self, entry: Entry, *_: Any) -> str:
        return self.text_of(entry)

    def _look_into(self, path: str) -> _Inside:
        """Let ``pkgutil.iter_modules`` see what is in a package."""
        if not path.startswith(_NOWHERE):
            raise ImportError
        return _Inside(self._entries, path.rpartition("/")[2])


class _Loader:
    def __init__(self, finder: Any, entry: Entry) -> None:
        self._finder, self._entry = finder, entry

    def get_source(self, fullname: str) -> str:
        return "" if self._entry.kind == SPACE else self._finder.text_of(self._entry)

    def get_filename(self, fullname: str) -> str:
        return self._entry.file

    def get_code(self, fullname: str) -> CodeType | None:
        if self._entry.kind == SPACE:
            return None
        source = self._finder.sources[self._entry.source]
        return compile(source, self._entry.file, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        code = self.get_code(module.__name__)
        if code is not None:
            exec(code, vars(module))

    def is_package(self, fullname: str) -> bool:
        return self._entry.kind in (PACKAGE, SPACE)

    def get_data(self, path: str) -> bytes:
        content: bytes = self._finder.content_of(os.fspath(path))
        return content

    def get_resource_reader(self, fullname: str) -> Any:
        if not self.is_package(fullname):
            return None
        from .resources import Resources  # few tasks want it, and it takes its time

        file = self._entry.file
        folder = file if self._entry.kind == SPACE else folder_of(file)
        return Resources(self._finder.content_of, self._finder.names_in, folder)

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave that to the import system."""


class _Inside:
    """What is in a package that has travelled."""

    def __init__(self, entries: dict[str, Entry], package: str) -> None:
        self._entries, self._package = entries, package

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> None:
        """Find nothing: who asks has asked the finder before."""

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        for name, entry in self._entries.items():
            parent, _, last = name.rpartition(".")
            if parent == self._package:
                yield prefix + last, entry.kind in (PACKAGE, SPACE)


def _find_compiled(entry: Entry) -> ModuleSpec | None:
    """Find an extension module where the file of the script's is to be had, unchanged."""
    try:
        seen = os.stat(entry.file)
    except OSError:
        seen = None
    if seen is None or f"{seen.st_size} {seen.st_mtime_ns}".encode() != entry.source:
        raise ModuleNotFoundError(
            f"{entry.name} is compiled ({entry.file}): compiled modules do not travel, install it "
            "where the slave runs",
            name=entry.name,
        )
    loader = ExtensionFileLoader(entry.name, entry.file)
    return spec_from_file_location(entry.name, entry.file, loader=loader)


def _forget_foreign(name: str) -> None:
    """What was imported here by this name, before the script's had travelled, is another module."""
    module = sys.modules.get(name)
    if module is not None and not isinstance(getattr(module, "__loader__", None), _Loader):
        for each in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
            del sys.modules[each]
