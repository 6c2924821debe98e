"""One seed: a plan, a room, and what the checker says of it."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from masterslave.testing.faults import EVERYTHING, Fault, Kind, plan
from tests.chaos.carrying import Carrier
from tests.chaos.checker import complaints
from tests.chaos.evidence import Trouble, read_evidence
from tests.chaos.machines import machines
from tests.chaos.room import SCENES, Room, Scene

__all__ = ["Verdict", "run_seed", "scene_of"]

_LONG_S = 2.5
"""Longer than a slave may be silent."""

_EVERY_S = 0.8


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a seed.

    Attributes:
        wrong: What is wrong, a line each; with a traceback where something could not be done.
        folder: Where everything of a run is that went wrong.
    """

    seed: int
    scene: str
    faults: tuple[Fault, ...]
    done: int
    wrong: list[str]
    answered: int
    twice: int
    seconds: float
    folder: Path | None


def scene_of(seed: int, names: Collection[str]) -> Scene:
    """Return the room of a seed: they take turns."""
    return SCENES[sorted(names)[seed % len(names)]]


def run_seed(
    seed: int,
    *,
    seconds: float,
    kinds: Collection[str] = EVERYTHING,
    scenes: Collection[str] = tuple(SCENES),
    keep: Path,
    may_mount: bool,
    plant: Path | None = None,
) -> Verdict:
    """Carry out the plan of a seed, and judge what came of it.

    Args:
        seconds: How long things go wrong; the room starts before, and comes to its end after.
        kinds: What may go wrong, as far as it can in the room.
        keep: Where the folder of a run is kept that went wrong.
        may_mount: This process has mounts of its own.
        plant: A file with a bug that the master is to have.
    """
    began = time.monotonic()
    scene = scene_of(seed, scenes)
    possible = [kind for kind in scene.kinds if kind in {Kind(each) for each in kinds}]
    long_s = _LONG_S
    if scene.has_standby or (scene.is_service and seed % 4 == 1):  # who may be silent for longer
        seconds, long_s = 2.0 * seconds, 2.4 * _LONG_S
    faults = plan(seed, seconds, possible, every_s=_EVERY_S, long_s=long_s)
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-"))
    wrong: list[str] = []
    carrier: Carrier | None = None
    with _noted(wrong), machines(scene.machines, are_hosts=scene.is_lan) as found:
        room = Room(scene, found, folder, seed, may_mount=may_mount, plant=plant)
        carrier = Carrier(room)
        with _noted(wrong):
            room.open()
            carrier.carry_out(faults, at_once=seed % 4 == 3)
        with _noted(wrong):
            room.close()
    names: list[str] = []
    troubles: list[Trouble] = []
    if carrier is not None:
        wrong, troubles = carrier.surprises + wrong, carrier.troubles
        with _noted(wrong):
            evidence = read_evidence(
                folder, troubles, is_final=scene.is_service, has_standby=scene.has_standby
            )
            names = [one.name for one in evidence.ran]
            wrong += complaints(evidence)
        with _noted(wrong):
            room.write_logs()
            shutil.copytree(room.disk.path, folder / "journal")
        room.disk.close()
    kept = None
    if wrong:
        _write_story(folder, faults, troubles, wrong)
        kept = keep / f"{scene.name}-{seed}"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.move(folder, kept)
    else:
        shutil.rmtree(folder)
    return Verdict(
        seed, scene.name, faults, len(troubles), wrong,
        len(set(names)), len(names) - len(set(names)), time.monotonic() - began, kept,
    )  # fmt: skip


@contextmanager
def _noted(wrong: list[str]) -> Iterator[None]:
    """Note what fails here, whatever it is, and go on: the seed has failed."""
    try:
        yield
    except AssertionError as error:
        wrong.append(f"{error}")
    except Exception as error:
        wrong.append(f"{error!r}\n{traceback.format_exc()}")


def _write_story(
    folder: Path, faults: tuple[Fault, ...], troubles: list[Trouble], wrong: list[str]
) -> None:
    lines = ["what was planned:"]
    lines += [f"  {one.at_s:.3f} {one.kind} {one.target} for {one.for_s:.3f}" for one in faults]
    lines += ["what was done:"]
    lines += [f"  {json.dumps(asdict(one))}" for one in troubles]
    lines += ["what is wrong:", *(f"  {line}" for line in wrong)]
    (folder / "story.txt").write_text("\n".join(lines) + "\n")
