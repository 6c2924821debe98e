"""Pickles that leave a file where somebody loads them, in each form in which they may come.

::

    bomb = Bomb(tmp_path / "owned")
    for name, data in bomb.forms().items(): ...   # send it
    assert not bomb.has_gone_off()
"""

from __future__ import annotations

import base64
import pickle
import zlib
from pathlib import Path
from typing import Any

__all__ = ["Bomb"]


class Bomb:
    """Leaves the file *path* where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)

    def has_gone_off(self) -> bool:
        """Tell whether somebody has loaded it."""
        return self.path.exists()

    def pickled(self, protocol: int = 5) -> bytes:
        """Return it as bytes."""
        return pickle.dumps(self, protocol)

    def forms(self) -> dict[str, bytes]:
        """Return it in each form in which a reader may know a pickle, by what it is called."""
        newest = self.pickled()
        return {
            "oldest": self.pickled(0),
            "binary": self.pickled(2),
            "newest": newest,
            "in a list": pickle.dumps([self, self]),
            "compressed": zlib.compress(newest),
            "base64": base64.b64encode(newest),
        }

    def texts(self) -> dict[str, str]:
        """Return the same as texts."""
        return {name: data.decode("latin-1") for name, data in self.forms().items()}
