"""Slaves that lack a package which the script has."""

from __future__ import annotations

import importlib
import logging
import sys
from pathlib import Path

import pytest

from masterslave import Farm
from tests.conftest import eventually
from tests.masterslave.conftest import StartSlave


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that is installed here, in a directory that only this process looks into."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "only_here_package.py").write_text("def double(n): return 2 * n\n")
    monkeypatch.syspath_prepend(folder)
    yield "only_here_package"
    sys.modules.pop("only_here_package", None)


def use(name: str) -> int:
    return int(importlib.import_module(name).double(21))


def test_a_missing_package_is_named_with_its_host_and_the_way_out(
    package: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("masterslave.farm.farm.search_path", tuple)  # as from another machine
    with caplog.at_level(logging.WARNING, "masterslave"), Farm("lacks", local_slaves=1) as farm:
        for _ in range(2):
            with pytest.raises(ModuleNotFoundError) as caught:
                farm.submit(use, package).result()
        (slave,) = farm.slaves
        assert slave.lacks == (package,)
        errors = list(farm.imap_unordered(lambda n: n, [1]))
        assert errors == [(1, 1)]
    assert caught.value.name == package
    assert f"No module named {package!r} at slaves on {slave.host}" in str(caught.value)
    assert f"'pip install {package}' there" in str(caught.value)
    said = [record for record in caplog.records if package in record.getMessage()]
    assert len(said) == 1
    assert f"on {slave.host} has no module {package!r}" in said[0].getMessage()


def test_what_nobody_has_is_the_tasks_own_error(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "masterslave"), Farm("lacks", local_slaves=1) as farm:
        with pytest.raises(ModuleNotFoundError) as caught:
            farm.submit(use, "no_such_package").result()
        assert farm.slaves[0].lacks == ()
    assert str(caught.value) == "No module named 'no_such_package'"
    assert not caplog.records


def test_a_module_of_the_scripts_that_could_not_be_seen_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unseen_module.py").write_text("def double(n): return 2 * n\n")
    monkeypatch.syspath_prepend(tmp_path)
    with Farm("lacks", local_slaves=1) as farm:
        with pytest.raises(ModuleNotFoundError, match=r"farm.send_module\('unseen_module'\)"):
            farm.submit(use, "unseen_module").result()
        farm.send_module("unseen_module")
        assert farm.submit(use, "unseen_module").result() == 42


def test_tasks_go_where_the_package_is(
    package: str,
    tmp_path: Path,
    start_slave: StartSlave,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("masterslave.farm.farm.search_path", tuple)
    double = importlib.import_module(package).double  # which travels by its name
    with caplog.at_level(logging.WARNING, "masterslave"), Farm("lacks", local_slaves=0) as farm:
        start_slave("lacks", "--slots", "1")
        eventually(lambda: len(farm.slaves) == 1, "a slave joins")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site-packages"))
        start_slave("lacks", "--slots", "1")
        eventually(lambda: len(farm.slaves) == 2, "another slave joins")
        without, able = farm.slaves
        futures = [farm.submit(double, number) for number in range(20)]
        assert [future.result() for future in futures] == [2 * number for number in range(20)]
        assert list(farm.map(use, [package] * 20)) == [42] * 20
        lacks = {slave.pid: slave.lacks for slave in farm.slaves}
        assert lacks == {without.pid: (package,), able.pid: ()}
    said = [record for record in caplog.records if package in record.getMessage()]
    assert len(said) == 1
