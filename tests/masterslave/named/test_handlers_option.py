"""``masterslave slave --handlers``: what is refused, and what is said."""

from __future__ import annotations

import subprocess
import sys

import pytest

from masterslave.slave.child.looking import Unusable, tasks_of
from tests.masterslave.named.conftest import HERE, StartSlave


@pytest.mark.parametrize(
    ("specs", "said"),
    [
        (["studio"], "'studio' names no class: give MODULE:CLASS, such as"),
        (["studio:"], "'studio:' names no class"),
        (["nowhere:Render"], "there is no module 'nowhere' in "),
        (["studio.more:Render"], "there is no module 'studio.more' in "),
        (["lacking:Render"], "lacking cannot be imported: it needs 'not_installed_here'"),
        (["studio:Nobody"], "module studio has no class 'Nobody'"),
        (["studio:Plain"], "studio:Plain is no class of handlers: it has to be derived from"),
        (["studio:Slave"], "studio:Slave is no class of handlers"),
        (["studio:Idle"], "studio:Idle has no method do_<name>"),
        (["studio:Async"], "do_wait of studio:Async is async"),
        (["studio:Render", "studio:Twin"], "studio:Render and studio:Twin both have a method do_"),
        (
            ["studio:Render", "twins:Render"],
            "studio:Render and twins:Render are both called Render",
        ),
    ],
)
def test_classes_that_offer_nothing_are_told(
    specs: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.chdir(HERE)
    try:
        with pytest.raises(Unusable) as raised:
            tasks_of(specs)
    finally:
        for name in ("studio", "twins", "lacking"):
            sys.modules.pop(name, None)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("specs", "said"),
    [
        (["studio:Fragile", "studio:Nobody"], "module studio has no class 'Nobody'"),
        (["deadly:Render"], "deadly:Render: the process that imported them ended with exit code 9"),
    ],
)
def test_bad_handlers_are_one_line(specs: list[str], said: str) -> None:
    options = [word for spec in specs for word in ("--handlers", spec)]
    command = [sys.executable, "-m", "masterslave", "slave", "--local", *options]
    done = subprocess.run(
        command, cwd=HERE, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"masterslave: {said}\n"


def test_a_slave_says_what_it_offers(start_slave: StartSlave) -> None:
    slave = start_slave("nobody", "--handlers", "studio:Fragile", "--handlers", "studio:Twin")
    assert slave.stdout is not None
    lines = [slave.stdout.readline() for _ in range(2)]
    assert "looks for farm 'nobody'" in lines[0]
    assert "offers the named tasks ping (studio:Fragile); frame (studio:Twin)" in lines[1]
