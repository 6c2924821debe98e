"""Accounts of one cluster, as pairing leaves them: what lies in their configuration directories."""

from __future__ import annotations

import time
from pathlib import Path

from remoteobj import Identity
from remoteobj.identity.office import Office
from remoteobj.identity.request import make_request
from remoteobj.identity.store import Store

__all__ = ["join", "made"]


def join(office: Office, config: Path, name: str, role: str = "member") -> Identity:
    """Make the account with this ``XDG_CONFIG_HOME`` a member of an authority's cluster."""
    store = Store(config / "remoteobj" / "clusters" / office.cluster)
    made(config)
    key, request = make_request(name)
    certificate = office.issue(request, name=name, role=role, now=time.time())
    store.save_identity(office.ca_pem, certificate, key)
    return Identity(store.prove(), store.prove)


def made(config: Path) -> Path:
    """Return that directory, with what is below it as private as it has to be."""
    directory = config
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for part in ("remoteobj", "clusters"):
        directory = directory / part
        directory.mkdir(mode=0o700, exist_ok=True)
    return config
