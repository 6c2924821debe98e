"""What tasks yield while the connection of their script is cut, or their service started anew."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from masterslave import Farm, FarmError
from masterslave.service import lobby
from tests.conftest import eventually
from tests.masterslave.attached.conftest import StartService
from tests.masterslave.conftest import StartSlave
from tests.masterslave.gates import wait_at
from tests.masterslave.service.conftest import Open, open_service, reception_of

__all__ = ["open_service"]


def rounds(folder: str, *counts: int) -> Iterator[int]:
    with open(f"{folder}/ran", "a") as file:
        file.write("once\n")
    number = 0
    for at, count in enumerate(counts):
        wait_at(f"{folder}/gate{at}")
        for _ in range(count):
            yield number
            number += 1
        Path(f"{folder}/yielded{at}").touch()
    wait_at(f"{folder}/end")
    return "all"


@contextlib.contextmanager
def away(socket_path: str) -> Iterator[None]:
    """Cut what leads to this socket, and let nobody through to it in the block."""
    os.rename(socket_path, socket_path + "x")
    cut = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(descriptor))) as one:
            if one.getpeername() == socket_path:
                one.shutdown(socket.SHUT_RDWR)
                cut += 1
    assert cut
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):  # who has listened there has ended
            os.rename(socket_path + "x", socket_path)


def path_of(service: Any) -> str:
    return str(reception_of(service)).rpartition("@./u:")[2]


def test_a_short_cut_loses_no_part(open_service: Open, tmp_path: Path) -> None:
    service = open_service(local_slaves=1)
    with Farm.attach("survey") as farm:
        future = farm.submit(rounds, str(tmp_path), 4, 6)
        parts = future.parts()
        (tmp_path / "gate0").touch()
        assert [next(parts) for _ in range(4)] == [0, 1, 2, 3]
        with away(path_of(service)):
            eventually(lambda: service.jobs()[0]["state"] == "detached", "it is away")
            (tmp_path / "gate1").touch()
            eventually((tmp_path / "yielded1").exists, "it goes on", 20)
        assert [next(parts) for _ in range(6)] == [4, 5, 6, 7, 8, 9]
        (tmp_path / "end").touch()
        assert list(parts) == []
        assert future.result(30) == "all"
        assert farm.statistics().reconnected >= 1


def test_too_many_parts_in_a_cut_are_said_to_be_lost(
    open_service: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lobby, "_MOST_BYTES", 3000)
    service = open_service(local_slaves=1)
    with Farm.attach("survey") as farm:
        future = farm.submit(rounds, str(tmp_path), 2, 50, 2)
        parts = future.parts()
        (tmp_path / "gate0").touch()
        assert [next(parts), next(parts)] == [0, 1]
        with away(path_of(service)):
            eventually(lambda: service.jobs()[0]["state"] == "detached", "it is away")
            (tmp_path / "gate1").touch()
            eventually((tmp_path / "yielded1").exists, "it goes on", 20)
        got = [0, 1]
        with pytest.raises(FarmError, match=r"parts \d+ to 51 of task 0, rounds\(\)"):
            while len(got) < 60:  # it is said while the task goes on
                got.append(next(parts))
        assert got == list(range(len(got)))
        assert 5 < len(got) < 30
        (tmp_path / "gate2").touch()
        assert [next(parts), next(parts)] == [52, 53]
        (tmp_path / "end").touch()
        assert list(parts) == []
        assert future.result(30) == "all"


def test_parts_that_a_service_takes_to_its_end_are_said_to_be_lost(
    open_service: Open, tmp_path: Path
) -> None:
    service = open_service(local_slaves=1)
    with Farm.attach("survey") as farm:
        future = farm.submit(rounds, str(tmp_path), 4, 6)
        plain = farm.submit(abs, -1)
        parts = future.parts()
        (tmp_path / "gate0").touch()
        assert [next(parts) for _ in range(4)] == [0, 1, 2, 3]
        with away(path_of(service)):
            eventually(lambda: service.jobs()[0]["state"] == "detached", "it is away")
            for name in ("gate1", "end"):
                (tmp_path / name).touch()
            eventually(lambda: service.jobs()[0]["waiting"] == 0, "all is done", 20)
            service.close()
        open_service()
        assert future.result(30) == "all"
        with pytest.raises(FarmError, match=r"parts 4 to 9 of task 0, rounds\(\)"):
            next(parts)
        assert list(parts) == []
        assert list(plain.parts()) == []
        ticket = farm.detach()
    with Farm.attach("survey", ticket=ticket) as later:
        parts = later.futures[0].parts()
        with pytest.raises(FarmError, match="parts 0 to 9"):
            next(parts)
        assert list(parts) == []
        assert later.futures[0].result() == "all"


def test_a_task_that_yields_while_its_service_is_started_anew(
    start_service: StartService, start_slave: StartSlave, tmp_path: Path
) -> None:
    service = start_service()
    start_slave("lab", "--slots", "1")
    with Farm.attach("lab") as farm:
        future = farm.submit(rounds, str(tmp_path), 4, 3)
        parts = future.parts()
        (tmp_path / "gate0").touch()
        assert [next(parts) for _ in range(4)] == [0, 1, 2, 3]
        service.kill()
        service.wait()
        start_service()
        eventually(lambda: farm.statistics().reconnected >= 1, "the script is back", 20)
        for name in ("gate1", "end"):
            (tmp_path / name).touch()
        assert list(parts) == [4, 5, 6]
        assert future.result(30) == "all"
        assert (tmp_path / "ran").read_text() == "once\n", "its slave went on with it"
