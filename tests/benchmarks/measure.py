"""Measures: servers side by side, a fresh client process for each repetition, A B A B."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable
from statistics import median
from typing import Any

from tests.benchmarks.goals import Line, Measure, Scale
from tests.benchmarks.peers import RAW, SYSTEMS, TLS
from tests.benchmarks.process import Failed, Server, run_clients, shorten

__all__ = ["measure"]

_MB = 1e6
_MIB = 1024 * 1024
_BY_NAME = {system.name: system for system in (*SYSTEMS, *TLS)}
Sample = tuple[float | None, float | None]  # the value in the measure's unit, its ratio to raw


def measure(what: Measure, scale: Scale, names: set[str], say: Callable[[str], None]) -> list[Line]:
    """Return one line for each of the systems in *names* that *what* is about."""
    core = _core(what)
    if core is None:
        return [Line(name, note="this system cannot pin a process") for name in what.systems]
    wanted = [name for name in what.systems if name == RAW.name or name in names]
    with contextlib.ExitStack() as stack:
        raw = Server(RAW.name, what.raw_family, core)
        stack.callback(raw.close)
        runs = [_Run(what, scale, name, core, raw, stack) for name in wanted]
        for rep in range(1 if what.kind in {"idle", "later"} else scale.reps):
            for run in runs:
                say(f"{what.key}: {run.name}, {rep + 1}")
                run.once_more()
    return _relate([run.line() for run in runs], what)


def _core(what: Measure) -> str | None:
    if not what.pinned:
        return "free"
    return str(max(os.sched_getaffinity(0))) if hasattr(os, "sched_setaffinity") else None


class _Run:
    """One system in one measure."""

    def __init__(
        self,
        what: Measure,
        scale: Scale,
        name: str,
        core: str,
        raw: Server,
        stack: contextlib.ExitStack,
    ) -> None:
        self.name = name
        self._what, self._scale, self._core, self._raw = what, scale, core, raw
        self._mib = list(scale.mib)
        self._samples: list[Sample] = []
        self._notes: list[str] = []
        self._refused: dict[str, list[int]] = {}  # why -> the sizes in MiB
        self._facts: dict[str, float] = {}
        self._over = False
        many = what.kind in {"idle", "later"}
        self._limit_s = scale.limit_many_s if many else scale.limit_s
        self._is_large = what.kind in {"bytes", "array"}
        self._server: Server | None = raw
        if name != RAW.name:
            self._server = None
            try:
                self._server = _serve(name, what.family, core)
                stack.callback(self._server.close)
            except Failed as failure:
                self._give_up(str(failure))

    def once_more(self) -> None:
        """Measure one repetition; where it fails, try a smaller size, or give up."""
        while not self._over:
            try:
                self._take(run_clients(self._jobs(), self._limit_s))
                return
            except Failed as failure:
                self._shrink_or_give_up(str(failure))

    def _jobs(self) -> list[dict[str, Any]]:
        assert self._server
        job = {
            "kind": self._what.kind,
            "system": self.name,
            "address": self._server.address,
            "raw": self._raw.address,
            "core": self._core,
            "seconds": self._scale.seconds,
            "mib": self._mib[0],
            "pid": self._server.pid,
            "count": self._scale.idle if self._what.kind == "idle" else self._scale.waiting,
            "limit_s": self._limit_s * 0.6,
            "delay_s": 1.0,
        }
        return [job] * (2 if self._what.kind == "eight" else 1)

    def _shrink_or_give_up(self, why: str) -> None:
        assert self._server
        try:
            self._server.restart()
        except Failed as failure:
            self._give_up(str(failure))
            return
        if self._is_large and len(self._mib) > 1:
            self._refuse(why)
            self._samples.clear()
            self._mib.pop(0)
        else:
            self._give_up(why)

    def _give_up(self, why: str) -> None:
        self._over = True
        if self._is_large:
            self._refuse(why)
        else:
            self._note(why)

    def _refuse(self, why: str) -> None:
        self._refused.setdefault(shorten(why), []).append(self._mib[0])

    def _note(self, text: str) -> None:
        if text and shorten(text) not in self._notes:
            self._notes.append(shorten(text))

    def _take(self, answers: list[dict[str, Any]]) -> None:
        first = answers[0]
        self._note(first.get("note", ""))
        if "held" in first:
            names = {"held": "held", "threads": "threads", "kib": "KiB each", "seconds": "s"}
            self._facts = {names[key]: first[key] for key in names if key in first}
            self._samples.append((first["held"], None))
        elif "calls_per_s" in first:
            raw = sum(each["raw_per_s"] for each in answers)
            own = sum(each["calls_per_s"] for each in answers)
            is_raw = self.name == RAW.name
            self._samples.append((raw, None) if is_raw else (own, own / raw))
        else:
            own_s, raw_s = first["value"], first.get("raw")
            self._samples.append(self._sample(own_s or raw_s, raw_s if own_s else None))

    def _sample(self, seconds: float, raw_s: float | None) -> Sample:
        match self._what.kind:
            case "echo" | "connect":
                return seconds * 1e6, seconds / raw_s if raw_s else None
            case _ if self._is_large:
                rate = 2 * self._mib[0] * _MIB / seconds / _MB
                return rate, raw_s / seconds if raw_s else None
            case _:
                return 1 / seconds, None

    def line(self) -> Line:
        """Return the medians."""
        if self._is_large and self._samples:
            self._facts = {"MiB": self._mib[0]}
            self._notes.insert(0, f"{self._mib[0]} MiB")
        for why, sizes in self._refused.items():
            self._notes.append(f"{', '.join(map(str, sizes))} MiB: {why}")
        values = [value for value, _ in self._samples if value is not None]
        ratios = [ratio for _, ratio in self._samples if ratio is not None]
        return Line(
            self.name,
            median(values) if values else None,
            median(ratios) if ratios else None,
            min(ratios, default=None),
            max(ratios, default=None),
            self._facts,
            "; ".join(self._notes),
        )


def _serve(name: str, family: str, core: str) -> Server:
    missing = [each for each in _BY_NAME[name].modules if importlib.util.find_spec(each) is None]
    if missing:
        raise Failed(f"not installed: {', '.join(missing)}")
    return Server(name, family, core)


def _relate(lines: list[Line], what: Measure) -> list[Line]:
    """Give ratios to another system than the raw socket.

    Where both have a ratio to their raw neighbour these are compared: the machine may have been
    slower when one of them was measured.
    """
    base = next((line for line in lines if line.system == what.ratio_to), None)
    if base is None or not base.value or what.ratio_to == RAW.name:
        return lines
    return [
        Line(
            line.system,
            line.value,
            _ratio(line, base),
            note=line.note,
            base=what.ratio_to,
        )
        for line in lines
    ]


def _ratio(line: Line, base: Line) -> float | None:
    if line.ratio is not None and base.ratio is not None:
        return line.ratio / base.ratio
    return line.value / base.value if line.value is not None and base.value else None
