"""A slice of what ``hostile.py`` throws at a daemon."""

from __future__ import annotations

import pytest
from hostile import attack

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_daemon_takes_no_harm_from_broken_frames(kind: str) -> None:
    report = attack(seconds=1.5, kind=kind)
    assert not report.complaints, str(report)
    assert report.frames > 300, str(report)
    assert report.good_calls > 30, str(report)
