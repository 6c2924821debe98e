"""Machines that are paired, for tests: their identities lie where pairing puts them.

::

    cluster = Pairing("lab", tmp_path / "config")     # the machine with the authority
    cluster.pair(other_config, "anna", role="slave")  # XDG_CONFIG_HOME of another machine
"""

from __future__ import annotations

import time
from pathlib import Path

from remoteobj.identity.authority import Authority
from remoteobj.identity.office import Office
from remoteobj.identity.request import make_request
from remoteobj.identity.store import Store

__all__ = ["Pairing"]


class Pairing:
    """A cluster whose authority signs for the machines that a test names.

    Args:
        cluster: What it is called.
        config: ``XDG_CONFIG_HOME`` of the machine that has the authority, which is paired too.
        name: What that machine is called.
        age_s: How long ago all are paired.
    """

    def __init__(
        self, cluster: str, config: Path, name: str = "hall", *, age_s: float = 0.0
    ) -> None:
        self.cluster = cluster
        self._age_s = age_s
        store = self._store(config)
        store.found(lambda: Authority.create(cluster, self._now()))
        self.office = Office(store)
        self.pair(config, name, role="operator")

    def pair(self, config: Path, name: str, role: str = "member") -> Store:
        """Make a machine, whose ``XDG_CONFIG_HOME`` this is, one of the cluster."""
        key, request = make_request(name)
        certificate = self.office.issue(request, name=name, role=role, now=self._now())
        store = self._store(config)
        store.save_identity(self.office.ca_pem, certificate, key)
        return store

    def _now(self) -> float:
        return time.time() - self._age_s

    def _store(self, config: Path) -> Store:
        return Store(config / "remoteobj" / "clusters" / self.cluster)
