"""Tests of how the demo in examples/demo.py ends."""

import importlib
import os
import signal
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_second_ctrl_c_does_not_stop_the_clearing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.delitem(sys.modules, "survey", raising=False)
    demo = importlib.import_module("demo")

    folders: list[Path] = []

    def end(on: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        folders.append(Path(os.environ["XDG_RUNTIME_DIR"]).parent)

    monkeypatch.setattr(demo.Stage, "end", end)
    with pytest.raises(KeyboardInterrupt), demo.stage():
        raise KeyboardInterrupt
    assert folders
    assert not folders[0].exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
