"""A seed that cannot be judged, or not be carried out, has failed: it is told, and kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import seed
from tests.chaos.room import Room


def _break(monkeypatch: pytest.MonkeyPatch, thing: object, name: str) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("it is unreadable")

    monkeypatch.setattr(thing, name, broken)


@pytest.mark.parametrize("is_opened", [True, False])
def test_what_cannot_be_read_or_opened_is_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_opened: bool
) -> None:
    if is_opened:
        _break(monkeypatch, seed, "read_evidence")
    else:
        _break(monkeypatch, Room, "__init__")
    verdict = seed.run_seed(
        1, seconds=0.1, scenes=["home"], kinds=["stop_slave"], keep=tmp_path, may_mount=False
    )
    (wrong,) = verdict.wrong
    assert "it is unreadable" in wrong.splitlines()[0]
    assert "Traceback" in wrong
    assert verdict.folder is not None
    assert verdict.folder == tmp_path / "home-1"
    assert "it is unreadable" in (verdict.folder / "story.txt").read_text()
    assert (verdict.folder / "journal" / "journal.db").exists() is is_opened
