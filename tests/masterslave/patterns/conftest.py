"""A farm that the tests share."""

from __future__ import annotations

from tests.masterslave.shared import farm, fresh, own_machine

__all__ = ["farm", "fresh", "own_machine"]
