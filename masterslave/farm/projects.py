"""Modules, packages and directories that are sent because somebody said so."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from importlib.machinery import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

from masterslave.codeset import DATA, SPACE, Entry
from masterslave.errors import BadModule
from masterslave.farm.modules import may_travel
from masterslave.farm.travelling import Source, entry_of_file
from masterslave.protocol.functions import hash_of

__all__ = ["sources_of"]

_MAX_BYTES = 64 * 1024 * 1024
_MAX_FILES = 10_000
_LEFT_OUT = {"__pycache__", "node_modules"}
_LEFT_OUT_SUFFIXES = (".egg-info", ".dist-info", *BYTECODE_SUFFIXES)


def sources_of(what: ModuleType | str | os.PathLike[str]) -> list[Source]:
    """Return what has to travel for a module, a package, or a directory of them.

    Raises:
        BadModule: It is nowhere, it is compiled, it is too large, or it is never sent.
    """
    if isinstance(what, ModuleType):
        sources = _of_name(what.__name__)
    elif isinstance(what, str) and all(part.isidentifier() for part in what.split(".")):
        sources = _of_name(what)
    elif isinstance(what, str | os.PathLike):
        sources = _of_path(Path(what).resolve())
    else:
        raise BadModule(f"a module, its name or its path is sent, not {what!r}")
    found = list(_limited(sources, what))
    if not any(source.entry.name for source in found):
        raise BadModule(f"{what} has no module that could be sent")
    for source in found:
        if source.entry.name and not may_travel(source.entry.name):
            raise BadModule(
                f"{source.entry.name} is never sent: every slave has its own (the standard "
                "library, and what the farm is made of)"
            )
    return found


def _limited(sources: Iterator[Source], what: object) -> Iterator[Source]:
    size = 0
    for count, source in enumerate(sources):
        size += len(source.content)
        if size > _MAX_BYTES or count >= _MAX_FILES:
            raise BadModule(
                f"{what} has more than {_MAX_BYTES // 2**20} MiB or {_MAX_FILES} files: send the "
                "packages in it that tasks need, and put large data where slaves can read it"
            )
        yield source


def _of_name(name: str) -> Iterator[Source]:
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        part = ".".join(parts[:depth])
        try:
            spec = importlib.util.find_spec(part)
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            raise BadModule(f"no module named {part} is found here: is it spelled right?")
        places = spec.submodule_search_locations
        is_last = depth == len(parts)
        if places is not None and is_last:
            for place in places:
                yield from _of_folder(Path(place), part)
        elif places is not None and not spec.has_location:
            yield Source(Entry(SPACE, part, next(iter(places)), b""), b"")
        else:
            if not spec.origin or not spec.has_location:
                raise BadModule(f"module {part} has no file that could be sent ({spec.origin})")
            yield _of_file(part, Path(spec.origin), is_package=places is not None)


def _of_path(path: Path) -> Iterator[Source]:
    if not path.exists():
        raise BadModule(f"there is no {path}")
    parents: list[Path] = []
    folder = path.parent
    while (folder / "__init__.py").exists():
        parents.insert(0, folder)
        folder = folder.parent
    prefix = ""
    for parent in parents:
        prefix += f"{parent.name}."
        yield _of_file(prefix[:-1], parent / "__init__.py", is_package=True)
    if path.is_file():
        yield _of_file(prefix + path.name.partition(".")[0], path, is_package=False)
    elif (path / "__init__.py").exists():
        yield from _of_folder(path, prefix + path.name)
    else:
        is_project = any((path / name).exists() for name in ("pyproject.toml", "setup.py"))
        yield from _of_folder(path / "src" if is_project and (path / "src").is_dir() else path, "")


def _of_folder(folder: Path, package: str) -> Iterator[Source]:
    """Yield what is in the folder of a package, or, if its name is empty, in that of a project."""
    init = folder / "__init__.py"
    if init.exists() and package:
        yield _of_file(package, init, is_package=True)
    elif package:
        yield Source(Entry(SPACE, package, str(folder), b""), b"")
    for path in sorted(folder.iterdir()):
        stem = path.name.partition(".")[0]
        name = f"{package}.{stem}" if package else stem
        if path.name.startswith(".") or path.name in _LEFT_OUT or path == init:
            continue
        if path.name.endswith(_LEFT_OUT_SUFFIXES) or (path / "pyvenv.cfg").exists():
            continue
        if path.is_dir():
            if not path.is_symlink():
                yield from _of_folder(path, name) if path.name.isidentifier() else _data_in(path)
        elif stem.isidentifier() and path.name.endswith((".py", *EXTENSION_SUFFIXES)):
            yield _of_file(name, path, is_package=False)
        elif path.is_file():
            yield _of_data(path)


def _data_in(folder: Path) -> Iterator[Source]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield _of_data(path)


def _of_data(path: Path) -> Source:
    content = path.read_bytes()
    return Source(Entry(DATA, "", str(path), hash_of(content)), content)


def _of_file(name: str, file: Path, *, is_package: bool) -> Source:
    if file.name.endswith(tuple(EXTENSION_SUFFIXES)):
        raise BadModule(
            f"{name} is compiled ({file}): compiled modules do not travel, install it where the "
            "slaves run"
        )
    source = entry_of_file(name, file, is_package=is_package)
    if source is None:
        raise BadModule(f"{file} is no source of a module, or cannot be read")
    return source
