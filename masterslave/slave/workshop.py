"""The slots of a slave: gives waiting tasks to idle children, and replaces children that die."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from masterslave.protocol import (
    LOST,
    MAX_PAYLOAD_BYTES,
    NOT_PICKLABLE,
    RAISED,
    VALUE,
    Outcome,
    Raised,
    encode,
)
from masterslave.slave.child import Define, Finished, Forget, Prepare, Ready, Run
from masterslave.slave.children import Child
from masterslave.slave.work import FarmWork, Key, choose_farm

__all__ = ["Workshop"]

log = logging.getLogger("masterslave")

_RETRY_START_S = 1.0


class Workshop:
    """Runs the tasks of any number of farms in a fixed number of child processes.

    ``changed`` guards everything in here and in the ``FarmWork`` of each farm; who waits for
    outcomes waits on it.

    Args:
        slots: Number of child processes.
        make_child: Starts one; tests make theirs.
    """

    def __init__(self, slots: int, *, make_child: Callable[..., Child] = Child) -> None:
        self.slots = slots
        self._make_child = make_child
        self.changed = threading.Condition()
        self._farms: dict[FarmWork, tuple[str, ...]] = {}
        self._busy: dict[Child, tuple[FarmWork, Key] | None] = {}
        self._closed = False

    def open(self) -> None:
        """Start the children."""
        with self.changed:
            for _ in range(self.slots):
                self._start_child()

    def add(self, farm: FarmWork, search_path: tuple[str, ...]) -> None:
        """Serve one more farm; its modules are looked for in *search_path* too."""
        with self.changed:
            self._farms[farm] = search_path

    def remove(self, farm: FarmWork) -> None:
        """Serve this farm no longer; what runs for it is stopped."""
        with self.changed:
            self._farms.pop(farm, None)
            running = farm.give_back_running()
        self.stop(farm, running)

    def stop(self, farm: FarmWork, keys: list[Key]) -> None:
        """Stop running tasks, by ending the processes that run them."""
        with self.changed:
            for child, job in self._busy.items():
                if job is not None and job[0] is farm and job[1] in keys:
                    # It may have finished in this moment: marked under the lock, it gets no task
                    # that the kill would then hit.
                    child.is_doomed = True
                    child.kill()

    def assign(self) -> None:
        """Give waiting tasks to idle children."""
        while True:
            with self.changed:
                idle = next(
                    (c for c, job in self._busy.items() if job is None and c.takes_tasks), None
                )
                farm = choose_farm(self._farms)
                task = farm.start_next() if idle and farm else None
                if idle is None or farm is None or task is None:
                    return
                self._busy[idle] = (farm, (task.task, task.attempt))
                frames: list[Prepare | Define | Forget | Run] = []
                search_path = self._farms[farm]
                if search_path not in idle.known_paths:
                    idle.known_paths.add(search_path)
                    frames.append(Prepare(search_path))
                if task.function not in idle.known_functions:
                    frames.append(Define(task.function, task.pickled))
                forgotten = idle.known_functions.use(task.function, len(task.pickled))
                frames += map(Forget, forgotten)
                frames.append(Run(task.task, task.attempt, task.function, task.arguments))
            idle.send(*frames)

    def running(self) -> int:
        """Return how many slots are taken."""
        with self.changed:
            return sum(job is not None for job in self._busy.values())

    def close(self) -> None:
        """End every child. Blocks until they are gone."""
        with self.changed:
            self._closed = True
            children = list(self._busy)
        for child in children:
            child.kill()
        for child in children:
            child.wait()

    def _start_child(self) -> None:
        try:
            self._busy[self._make_child(self._heard, self._died)] = None
        except OSError as error:  # no memory, or too many processes: it may pass
            log.warning("cannot start a process for tasks: %s; trying again", error)
            self._start_child_later()

    def _start_child_later(self) -> None:
        retry = threading.Timer(_RETRY_START_S, self._replace_child)
        retry.daemon = True
        retry.start()

    def _heard(self, child: Child, frame: Ready | Finished) -> None:
        with self.changed:
            match frame:
                case Ready():
                    child.is_ready = True
                case Finished():
                    job = self._busy.get(child)
                    self._busy[child] = None
                    if job is not None:
                        job[0].finish(_outcome_of(frame))
            self.changed.notify_all()
        self.assign()

    def _died(self, child: Child, how: str) -> None:
        with self.changed:
            job = self._busy.pop(child, None)
            if job is not None:
                farm, (task, attempt) = job
                farm.finish(Outcome(task, attempt, LOST, how.encode()))
            self.changed.notify_all()
            if self._closed:
                return
        if child.is_ready:
            self._replace_child()
        else:  # it cannot even start: do not start the next one as fast as processes can die
            self._start_child_later()

    def _replace_child(self) -> None:
        with self.changed:
            if not self._closed:
                self._start_child()


def _outcome_of(frame: Finished) -> Outcome:
    """Return what the master is told; a result that is too large for a message is an error."""
    kind, payload = (RAISED if frame.raised else VALUE), frame.payload
    if len(payload) > MAX_PAYLOAD_BYTES:
        message = (
            f"the result takes {len(payload) / 2**20:.0f} MiB, at most "
            f"{MAX_PAYLOAD_BYTES // 2**20} travel: write it to a file and return its name"
        )
        kind = RAISED
        payload = encode(Raised(NOT_PICKLABLE, message, message))
    return Outcome(frame.task, frame.attempt, kind, payload, frame.seconds)
