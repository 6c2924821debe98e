"""The benchmarks of the farm run, each measure gives a sane number, and missing systems say so."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks.farm.goals import GOALS, OURS, Goal, Line
from tests.benchmarks.farm.measures import MEASURES, START, Scale
from tests.benchmarks.farm.measuring import measure, try_out
from tests.benchmarks.farm.report import tables
from tests.benchmarks.farm.results import Plan, Table, keep, kept
from tests.benchmarks.farm.sample import Sample
from tests.benchmarks.farm.systems import BY_KEY, System
from tests.benchmarks.process import ROOT
from tests.benchmarks.sections import section_of, with_section

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
TINY = ("--repeat", "1", "--share", "0.01")
STANDARD = "submit,map,efficiency-1ms,arrays,memory,one,computing,stream,start"


def run(*arguments: str) -> str:
    done = subprocess.run(
        [*(sys.executable, "-m", "tests.benchmarks.farm"), *TINY, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def values_of(text: str, system: str) -> list[str]:
    """Return the values of a system in the tables that it is in, after the goals."""
    return re.findall(rf"^\| {re.escape(system)} \| ([^|]*) \|", text, re.MULTILINE)


def number(cell: str) -> float:
    return float(cell.replace(",", ""))


def test_every_measure_gives_a_number_of_the_farm_and_the_page_says_what_was_missed(
    tmp_path: Path,
) -> None:
    calls = "# How fast remote calls are\n\nby hand\n"
    (tmp_path / "performance.md").write_text(calls, encoding="utf-8")
    run("--systems", OURS, "--docs", str(tmp_path))
    page = (tmp_path / "performance-farm.md").read_text(encoding="utf-8")
    assert set(re.findall("^## (.*)$", page, re.MULTILINE)) == {
        "Goals",
        *(what.title for what in MEASURES),
    }
    values = values_of(page, BY_KEY[OURS].title)
    assert len(values) == len(MEASURES)
    for what, value in zip(MEASURES, values, strict=True):
        may_be_none = what.unit in {"s more than undisturbed", "MB", "s"}
        assert number(value) > (-60.0 if may_be_none else 0.0), what.key
        if "ideal" in what.unit:
            assert number(value) < 1.05, what.key  # sleep and clocks have limits, too
    for goal in GOALS:
        line = re.search(rf"^\| {re.escape(goal.says)} \|(.*)\|$", page, re.MULTILINE)
        assert line, goal.says
        verdict = line[1].split("|")[-2].strip()
        if goal.against:
            assert verdict.startswith("missed: no number of")
        else:
            assert verdict.startswith("not judged" if goal.is_of_all else ("met", "missed"))
    both = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert both.startswith(calls)
    assert "(performance-farm.md)" in section_of(both, "farm")


def test_the_pools_of_the_standard_library_are_measured_in_the_same_way() -> None:
    text = run("--systems", "ppe,pool", "--only", STANDARD)
    for key in ("ppe", "pool"):
        values = values_of(text, BY_KEY[key].title)
        assert len(values) == len(STANDARD.split(","))
        assert all(number(value) >= 0 for value in values)
    assert "## Goals" not in text  # which are the farm's


def test_a_pool_that_loses_tasks_has_no_time_but_a_reason() -> None:
    text = run("--systems", "ppe", "--only", "child-killed,join", "--share", "0.1")
    assert values_of(text, BY_KEY["ppe"].title) == ["-"]
    assert re.search(r"[1-9]\d* of 40 tasks lost: BrokenProcessPool", text)


def test_a_system_that_is_missing_or_fails_is_a_row_that_says_why(tmp_path: Path) -> None:
    absent = System("loky", "loky", "executors:LokyExecutor", "", ("no_such_module",))
    no_mpi = System("mpi4py", "mpi4py", "executors:MpiExecutor", command=("no-such-mpirun",))
    said: list[str] = []
    why = try_out([absent, no_mpi], tmp_path, said.append)
    assert said == ["trying out loky", "trying out mpi4py"]
    broken = replace(START, workload="start:no_such_workload")
    lines = measure(broken, Scale(2), {**why, "ppe": ""}, tmp_path, said.append)
    text = tables({START.key: Table(lines)})
    assert "| loky | - | not installed: no_such_module |" in text
    assert "| mpi4py.futures | - | not installed: no-such-mpirun |" in text
    assert re.search(
        r"^\| ProcessPoolExecutor \| - \| AttributeError: .*no_such", text, re.MULTILINE
    )
    assert len(said) == 3  # what failed once is not tried again


def test_goals_are_medians_of_ratios_within_a_repetition_and_flaws_miss_them() -> None:
    ours = Line(OURS, 20_000, {0: Sample(30.0), 1: Sample(20.0), 2: Sample(100.0)})
    other = Line("ppe", 20_000, {0: Sample(10.0), 1: Sample(5.0), 2: Sample(50.0)})
    goal = Goal("submit", "rate", ">=", 3.0, "ppe")
    assert goal.reached([ours, other]) == 3.0
    assert goal.is_met_by(3.0)
    assert not Goal("submit", "rate", ">", 3.0).is_met_by(3.0)
    assert goal.reached([ours]) is None
    says = GOALS[0].says
    assert f"| {says} | >= 3 | 3 | met |" in tables({"submit": Table([ours, other])})
    ours.samples[1] = Sample(20.0, flaw="1 of 9 tasks lost")
    verdict = "missed: 1 of 9 tasks lost (1 of 3 times)"
    assert f"| {says} | >= 3 | 3 | {verdict} |" in tables({"submit": Table([ours, other])})


def test_a_page_is_written_from_several_runs_in_pieces(tmp_path: Path) -> None:
    store = tmp_path / "so-far.json"
    pieces = ("--systems", "ppe", "--resume", str(store))
    first = run(*pieces, "--only", "one")
    assert "One task at a time" in first
    held = kept(store, Plan(Scale(1, 0.01), ["ppe"]))
    held["one"] = replace(held["one"], began="1999-12-31 23:59", machine="an abacus")
    keep(store, Plan(Scale(1, 0.01), ["ppe"]), held)
    second = run(*pieces, "--only", "one,submit", "--docs", str(tmp_path))
    assert f"{store} holds one" in second
    assert "One task at a time" not in second, "it is not measured again"
    page = (tmp_path / "performance-farm.md").read_text(encoding="utf-8")
    assert "One task at a time: submit(null).result()\n\nMeasured 1999-12-31 23:59 UTC." in page
    assert len(re.findall(r"^Measured 2\d{3}-\d\d-\d\d \d\d:\d\d UTC\.$", page, re.MULTILINE)) == 1
    assert "* 1999-12-31, an abacus; 0.01 of the tasks\n* 2" in page


def test_what_a_cut_run_has_seen_is_told_and_kept(tmp_path: Path) -> None:
    command = [*(sys.executable, "-u", "-m", "tests.benchmarks.farm"), *TINY]
    with subprocess.Popen(
        [*command, "--systems", OURS, "--only", "one,stream", "--docs", tmp_path],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("| Farm |"):
                break
        process.terminate()
        rest = process.stdout.read()
    assert process.returncode == 1
    assert "interrupted" in rest
    assert "one task at a time" in rest, "the goals it has a number for"
    store = tmp_path / "performance-farm.json"
    assert list(kept(store, Plan(Scale(1, 0.01), [OURS]))) == ["one"]
    assert not (tmp_path / "performance-farm.md").exists(), "what a whole run wrote stays"


@pytest.mark.parametrize("held", ["{", "[]", None])
def test_a_file_of_other_runs_is_not_resumed(tmp_path: Path, held: str | None) -> None:
    store = tmp_path / "so-far.json"
    if held is None:
        keep(store, Plan(Scale(2, 0.01), ["ppe"]), {})
    else:
        store.write_text(held, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(str(store))):
        kept(store, Plan(Scale(1, 0.01), ["ppe"]))


def test_a_section_is_replaced_and_what_is_around_it_stays() -> None:
    page = with_section("# Calls\n\nthe rest\n", "farm", "old\n")
    assert section_of(page, "farm") == "old"
    page = with_section(page + "after\n", "farm", "new")
    assert section_of(page, "farm") == "new"
    assert page.startswith("# Calls\n\nthe rest\n")
    assert page.endswith("after\n")
    assert "old" not in page
    assert with_section("# Calls\n", "farm", section_of("# Calls\n", "farm")) == "# Calls\n"


def test_measuring_remote_calls_keeps_the_part_of_the_farm(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(with_section("# old\n", "farm", "## The farm\n\nnumbers"), encoding="utf-8")
    tiny = ("--quick", "--seconds", "0.03", "--only", "remoteobj", "--measure", "echo-tcp-free")
    subprocess.run(
        [*(sys.executable, "-m", "tests.benchmarks"), *tiny, "--docs", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=True,
    )
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# How fast remote calls are")
    assert section_of(text, "farm") == "## The farm\n\nnumbers"
