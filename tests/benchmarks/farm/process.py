"""Starts the processes of jobs, and ends whatever they leave behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.farm.job import ANSWER
from tests.benchmarks.farm.proc import marked
from tests.benchmarks.farm.sample import Sample
from tests.benchmarks.farm.systems import System
from tests.benchmarks.process import ROOT, Failed, shorten

__all__ = ["run_job"]

_MODULE = "tests.benchmarks.farm.job"
_CLOSES_S = 6.0
_TICK_S = 0.01


def _command(system: System) -> list[str]:
    named = [part.replace("{python}", sys.executable) for part in system.command]
    return [*(named or [sys.executable]), "-m", _MODULE]


def _environment(folder: Path, cache: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REMOTEOBJ_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)  # whoever installs a package has its bytecode
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": str(cache),
        "PYTHONWARNINGS": "ignore",
        "XDG_RUNTIME_DIR": str(folder),  # also the mark by which what is left is found
        "XDG_CONFIG_HOME": str(folder / "config"),
        "IPYTHONDIR": str(folder / "ipython"),
        "DASK_DISTRIBUTED__DIAGNOSTICS__NVML": "False",
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder of its own to a job, and end what is marked with it."""
    with tempfile.TemporaryDirectory(prefix="b-", ignore_cleanup_errors=True) as name:
        try:
            yield Path(name)
        finally:
            if Path("/proc/self/environ").exists():
                for pid in marked(f"XDG_RUNTIME_DIR={name}"):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)


def run_job(system: System, told: dict[str, Any], limit_s: float, cache: Path) -> Sample:
    """Run one repetition in a fresh process.

    Args:
        told: What the job is told besides its system, its folder and when it began.
        limit_s: How long it may take until it has answered.
        cache: Where bytecode is kept, for all jobs.

    Raises:
        Failed: There is no answer, or it says why there is none.
    """
    with _folder() as folder:
        told = {**told, "system": system.key, "folder": str(folder), "began_s": time.monotonic()}
        with (folder / "errors").open("w+b") as errors:
            process = subprocess.Popen(
                [*_command(system), json.dumps(told)],
                cwd=folder,
                env=_environment(folder, cache),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
            try:
                answer = _await(process, folder / ANSWER, limit_s, errors)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_CLOSES_S)
            finally:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if "fault" in answer:
        raise Failed(shorten(answer["fault"]))
    return Sample(answer["value"], answer["facts"], shorten(answer["flaw"]))


def _await(
    process: subprocess.Popen[bytes], target: Path, limit_s: float, errors: Any
) -> dict[str, Any]:
    deadline = time.monotonic() + limit_s
    while not target.exists():
        if process.poll() is not None and not target.exists():
            errors.seek(0)
            said = errors.read().decode(errors="replace").splitlines()
            last = next((line for line in reversed(said) if any(map(str.isalpha, line))), "")
            raise Failed(shorten(f"the whole job ended, exit code {process.returncode}: {last}"))
        if time.monotonic() > deadline:
            raise Failed(f"took longer than {limit_s:g} s")
        time.sleep(_TICK_S)
    answer = json.loads(target.read_text(encoding="utf-8"))
    assert isinstance(answer, dict)
    return answer
