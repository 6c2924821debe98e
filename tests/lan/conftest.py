"""Where hosts cannot be made, these tests are skipped, and say why."""

from __future__ import annotations

import pytest
from hosts import why_impossible


@pytest.fixture(scope="session", autouse=True)
def _hosts_can_be_made() -> None:
    reason = why_impossible()
    if reason:
        pytest.skip(reason)
