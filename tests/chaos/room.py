"""A room in which things go wrong: machines, a script with a journal, and slaves."""

from __future__ import annotations

import os
import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from masterslave.testing.faults import Kind
from tests.chaos.machines import Machine
from tests.chaos.things import Clock, Disk, Member
from tests.lan.hosts import Running
from tests.pairing import Pairing

__all__ = ["SCENES", "Room", "Scene"]

ROOT = Path(__file__).parents[2]
SITE = Path(__file__).with_name("site")
_CLUSTER = "chaos"
_PAIRED_S = 10 * 86_400.0
"""How long ago the machines are paired: longer than any clock is set back."""

_MASTER, _SCRIPT, _STANDBY = "dora", "gina", "emil"
"""Their machines, where they have some: else the hall."""

_SLAVES = {"anna": 2, "ben": 1, "cleo": 1}

_HERE = (
    Kind.KILL_SLAVE, Kind.STOP_SLAVE, Kind.KILL_CHILD, Kind.KILL_MASTER, Kind.STOP_MASTER,
    Kind.FULL_DISK, Kind.CLOCK_BACK, Kind.OUT_OF_MEMORY,
)  # fmt: skip
_WIRES = (
    Kind.CUT, Kind.HALF_OPEN, Kind.SLOW, Kind.LOSSY, Kind.DUPLICATE, Kind.TRUNCATE,
)  # fmt: skip
_THERE = (*_HERE, *_WIRES, Kind.KILL_NAMESERVER)


@dataclass(frozen=True, slots=True)
class Scene:
    """Who is in a room.

    Attributes:
        kinds: What can go wrong in it.
        is_lan: Its machines meet in a network, by a name server; else one user's directory.
        is_service: The master runs by itself, and the script is attached to it.
        has_standby: Another machine follows its journal, and takes over.
    """

    name: str
    kinds: tuple[Kind, ...]
    is_lan: bool = False
    is_service: bool = False
    has_standby: bool = False

    @property
    def machines(self) -> tuple[str, ...]:
        if not self.is_lan:
            return ("hall",)
        service = (_MASTER, _SCRIPT) if self.is_service else ()
        return ("hall", *_SLAVES, *service, *((_STANDBY,) if self.has_standby else ()))


SCENES = {
    "home": Scene("home", _HERE),
    "service": Scene("service", _HERE, is_service=True),
    "lan": Scene("lan", _THERE, is_lan=True),
    "office": Scene("office", _THERE, is_lan=True, is_service=True),
    "standby": Scene(
        "standby", (*_THERE, Kind.KILL_STANDBY), is_lan=True, is_service=True, has_standby=True
    ),
}


class Room:
    """One room, from its opening to its end.

    Args:
        folder: Where everything is written.
        plant: A file with a bug that the master is to have.
    """

    def __init__(
        self,
        scene: Scene,
        machines: dict[str, Machine],
        folder: Path,
        seed: int,
        *,
        may_mount: bool,
        plant: Path | None = None,
    ) -> None:
        self.scene = scene
        self.folder = folder
        self.label = f"chaos{seed}"
        self.is_enough = False
        self.has_stepped_down = False
        """Whether the first master has said that another one leads: then it is to follow that."""
        self.machines = machines
        self._seed = seed
        self._plant = plant
        self._hall = machines["hall"]
        self._office = machines.get(_MASTER, self._hall)
        self._desk = machines.get(_SCRIPT, self._hall)
        self._port = 0
        self._copies = 0
        for part in ("clocks", "stacks", "disk-of-standby"):
            (folder / part).mkdir()
        self.disk = Disk(folder / "disk", may_mount=may_mount)
        self.clocks = {name: Clock(folder / "clocks" / name) for name in machines}
        is_service = scene.is_service
        self.master = Member("master", self._begin_master if is_service else self._begin_script)
        self.script = Member("script", self._begin_script) if is_service else self.master
        self.standby = Member("standby", self._begin_standby)
        self.slaves = [Member(name, lambda name=name: self._begin_slave(name)) for name in _SLAVES]
        self.nameserver = Member("nameserver", self._begin_nameserver)
        self.wires: dict[str, Running] = {}
        self._wire_ports: dict[str, str] = {}

    @property
    def cables(self) -> dict[str, Machine]:
        """The machines that have one, by who is hurt when it is cut."""
        found = {name: self.machines[name] for name in self.wires}
        if self._office is not self._hall and self._office.can_cut:
            found["master"] = self._office
        if self.scene.has_standby and self._office.can_cut:
            found["standby"] = self.machines[_STANDBY]
        return found

    @property
    def members(self) -> list[Member]:
        """All who can be up."""
        script = [self.script] if self.scene.is_service else []
        server = [self.nameserver] if self.scene.is_lan else []
        return [*script, *self.houses, *self.slaves, *server]

    @property
    def houses(self) -> list[Member]:
        """Those of whom one is the master."""
        return [self.master, self.standby] if self.scene.has_standby else [self.master]

    def open(self) -> None:
        """Start everybody."""
        if self.scene.is_lan:
            cluster = Pairing(_CLUSTER, self._hall.config, age_s=_PAIRED_S)
            for name, machine in self.machines.items():
                if name in _SLAVES:
                    cluster.pair(machine.config, name, "slave")
                elif machine is not self._hall:
                    cluster.pair(machine.config, name)
                if name in _SLAVES or machine is self._desk is not self._hall:
                    self._begin_wire(name)
            self._port = _free_port() if self._hall.address == "127.0.0.1" else 9090
            for name, wire in self.wires.items():
                self._wire_ports[name] = wire.wait_for(r"^\d+$").text
        for member in reversed(self.members):
            member.start()

    def keep_copy(self) -> None:
        """Keep the journal as it is now, with its log: nobody has it open.

        Where there is a standby, it may be made anew, as what nobody was told may be lost.
        """
        if self.scene.has_standby:
            return
        copy = self.folder / f"copy-{self._copies}"
        copy.mkdir()
        self._copies += 1
        for name in ("journal.db", "journal.db-wal"):
            path = self.disk.path / name
            if path.exists():
                shutil.copyfile(path, copy / name)
        (copy / "at").write_text(repr(time.monotonic()))

    def order_hog(self) -> None:
        """Have the script submit a task that takes too much memory."""
        with (self.folder / "hogs").open("ab") as file:
            file.write(b".")

    def say_enough(self) -> None:
        """Have the script submit no more."""
        self.is_enough = True
        (self.folder / "enough").touch()

    def close(self) -> None:
        """End who is up, in order, and write down what they have said."""
        for member in reversed(self.members):
            member.go_on()
            if member.is_up:
                member.running.process.terminate()
        for member in self.members:
            if member.is_up:
                member.running.wait(20.0)
        for wire in self.wires.values():
            wire.close()
        for clock in self.clocks.values():
            clock.close()

    def write_logs(self) -> None:
        """Write down what everybody has said."""
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        for member in self.members:
            for number, running in enumerate(member.started):
                lines = [f"{line.at:.3f} {line.text}\n" for line in running.lines]
                (logs / f"{member.name}-{number}").write_text("".join(lines))

    def _environment(self, machine: str) -> dict[str, str]:
        found = {
            "PYTHONPATH": f"{SITE}{os.pathsep}{ROOT}",
            "CHAOS_FOLDER": str(self.folder),
            "CHAOS_STACKS": str(self.folder / "stacks"),
            "CHAOS_CLOCK": str(self.clocks[machine].path),
        }
        if self.scene.is_lan:
            found["REMOTEOBJ_NAMESERVER"] = f"{self._hall.address}:{self._port}"
        if machine in self._wire_ports:
            found["CHAOS_WIRE"] = f"127.0.0.1:{self._wire_ports[machine]}"
        return found

    def _begin_script(self) -> Running:
        environment = self._environment(self._desk.name)
        if self.scene.is_service:
            how = ["attached", str(self.folder), self.label]
        else:
            environment |= self._planted()
            how = ["own", str(self.folder), self.label]
            how += [self._desk.address] if self.scene.is_lan else []
        return self._desk.python("-m", "tests.chaos.script", *how, **environment)

    def _begin_master(self) -> Running:
        environment = self._environment(self._office.name) | self._planted()
        command = ["standby" if self.has_stepped_down else "master", self.label]
        self.has_stepped_down = False
        command += ["--journal", str(self.disk.path / "journal.db")]
        if self.scene.is_lan:
            command += ["--host", self._office.address]
        return self._office.python("-m", "masterslave", *command, **environment)

    def _begin_standby(self) -> Running:
        house = self.machines[_STANDBY]
        journal = self.folder / "disk-of-standby" / "journal.db"
        command = ["standby", self.label, "--journal", str(journal), "--host", house.address]
        return house.python("-m", "masterslave", *command, **self._environment(house.name))

    def _planted(self) -> dict[str, str]:
        return {} if self._plant is None else {"CHAOS_PLANT": str(self._plant)}

    def _begin_slave(self, name: str) -> Running:
        machine = self.machines[name if self.scene.is_lan else "hall"]
        environment = self._environment(machine.name)
        environment["CHAOS_RAN"] = str(self.folder / f"ran-{name}")
        slots = _SLAVES[name]
        command = ["slave", self.label, "--slots", str(slots), "--name", name]
        command += ["--memory", f"{150 * slots}M"]
        if not self.scene.is_lan:
            command.append("--local")
        return machine.python("-m", "masterslave", *command, **environment)

    def _begin_nameserver(self) -> Running:
        server = self._hall.python(
            "-m", "nameserver", "run", "--host", self._hall.address, "--port", str(self._port),
            "--cluster", _CLUSTER, "--no-announce", "--store", str(self.folder / "names.db"),
            **self._environment("hall"),
        )  # fmt: skip
        if not self.nameserver.started:
            server.wait_for("name server at")
        return server

    def _begin_wire(self, name: str) -> None:
        self.wires[name] = self.machines[name].python(
            "-m", "tests.chaos.wire", f"{self._seed} {name}", PYTHONPATH=str(ROOT)
        )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port
