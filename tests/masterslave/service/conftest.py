"""A service in this process, with slaves of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from masterslave.protocol.attaching import reception_at
from masterslave.service.service import Service
from remoteobj import URI

Open = Callable[..., Service]


def reception_of(service: Service) -> URI:
    """Return where scripts of this user find the reception."""
    return reception_at(service.local_uri)


@pytest.fixture
def open_service(tmp_path: Path, own_machine: Path) -> Iterator[Open]:
    """Return what opens a service, on the same journal each time."""
    opened: list[Service] = []

    def start(**arguments: Any) -> Service:
        service = Service("survey", tmp_path / "survey.db", **arguments)
        opened.append(service)
        service.open()
        return service

    yield start
    for service in opened:
        service.close()
