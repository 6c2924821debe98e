"""The certificates that tests make, with roles and without, are taken or refused as they should."""

from __future__ import annotations

from pathlib import Path

import pytest

from remoteobj import Identity, IdentityUnusable
from tests.certificates import Authority, make_cluster

NODE = "0123456789abcdef"


def test_roles_and_nodes(tmp_path: Path) -> None:
    cluster = Authority(tmp_path)
    plain = Identity.from_files(*cluster.node("plain")).claims
    assert (plain.role, plain.name, plain.serial != "") == ("member", "plain", True)
    slave = Identity.from_files(*cluster.node("ben", role="slave")).claims
    assert (slave.role, len(slave.node)) == ("slave", 16)
    same = Identity.from_files(*cluster.node("again", node=NODE, role="operator")).claims
    assert (same.node, same.role) == (NODE, "operator")
    files = make_cluster(tmp_path / "other", roles={"slave": "slave"})
    assert Identity.from_files(*files["slave"]).claims.role == "slave"
    assert Identity.from_files(*files["master"]).claims.role == "member"


def test_an_identity_that_says_two_things_is_none(tmp_path: Path) -> None:
    uris = [f"remoteobj:node:{NODE}:{role}" for role in ("slave", "operator")]
    files = Authority(tmp_path).node("carl", uris=uris)
    with pytest.raises(
        IdentityUnusable, match=r"carl\.pem: the certificate of 'carl' says 2 times"
    ):
        Identity.from_files(*files)


def test_revocations_are_noted_by_all_that_are_equal(tmp_path: Path) -> None:
    cluster = Authority(tmp_path)
    files, gone, by_hand = (cluster.node(name, role=role) for name, role in NAMES)
    one, same = Identity.from_files(*files), Identity.from_files(*files)
    away = [Identity.from_files(*files) for files in (gone, by_hand)]
    told: list[bool] = []
    forget = same.on_change(lambda: told.append(same.refuses(away[0].claims) is not None))
    same.on_change(lambda: 1 // 0)  # logged, and nobody else's harm
    crl = cluster.revocations(gone.certificate, by_hand.certificate, number=5)
    assert one.note_revoked(crl)
    assert not one.note_revoked(crl)
    assert not one.note_revoked(cluster.revocations(number=4))
    assert told == [True]
    assert [same.refuses(who.claims) is None for who in (*away, one)] == [False, False, True]
    forget()
    forget()
    assert one.note_revoked(cluster.revocations(gone.certificate, number=6))
    assert told == [True]
    other = Authority(tmp_path / "other")
    with pytest.raises(IdentityUnusable, match="not signed by this cluster's authority"):
        one.note_revoked(other.revocations(number=99))
    assert one.revoked.number == 6


NAMES = [("anna", "member"), ("ben", "slave"), ("carl", None)]
