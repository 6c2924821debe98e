"""What the tests of pairing have in common."""

from pathlib import Path

import pytest

from tests.nameserver.pairing.accounts import Account


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    """Let this process be of another account from now on."""

    def be(name: str) -> None:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / name))

    return be
