"""Data files of packages that have travelled, for ``importlib.resources``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.resources.abc import Traversable, TraversableResources
from io import BytesIO, TextIOWrapper
from pathlib import PurePath
from typing import Any

from ...codeset import folder_of

__all__ = ["Resources"]

_Content = Callable[[str], bytes]
_Names = Callable[[str], list[str]]


class Resources(TraversableResources):
    """What is in a folder of the script's.

    Args:
        content_of: Returns what is in a file; raises ``FileNotFoundError``.
        names_in: Returns what is in a folder.
    """

    def __init__(self, content_of: _Content, names_in: _Names, folder: str) -> None:
        self._folder = _File(content_of, names_in, folder)

    def files(self) -> Traversable:
        """Return the folder."""
        return self._folder


class _File(Traversable):
    """A file or folder of the script's."""

    def __init__(self, content_of: _Content, names_in: _Names, path: str) -> None:
        self._content_of, self._names_in, self._path = content_of, names_in, path

    @property
    def name(self) -> str:
        return self._path[len(folder_of(self._path)) :].strip("/\\")

    def iterdir(self) -> Iterator[Traversable]:
        return map(self._below, self._names_in(self._path))

    def is_dir(self) -> bool:
        return bool(self._names_in(self._path))

    def is_file(self) -> bool:
        try:
            self.read_bytes()
        except FileNotFoundError:
            return False
        return True

    def joinpath(self, *descendants: str | os.PathLike[str]) -> Traversable:
        file = self
        for each in descendants:
            for part in PurePath(os.fspath(each)).parts:
                file = file._below(part)
        return file

    def read_bytes(self) -> bytes:
        return self._content_of(self._path)

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        return str(self.read_bytes(), encoding or "utf-8", errors or "strict")

    def open(self, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        stream = BytesIO(self.read_bytes())
        return stream if "b" in mode else TextIOWrapper(stream, *args, **kwargs)

    def _below(self, name: str) -> _File:
        between = "\\" if "\\" in self._path and "/" not in self._path else "/"
        return _File(self._content_of, self._names_in, f"{self._path}{between}{name}")
