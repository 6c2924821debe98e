"""Who is who in a cluster: identities, what certificates say, and who signs them.

::

    auto        identity="auto": what is stored on this account, if anything
    files       Identity, which daemons and proxies take
    moving      the authority in a backup, and back; sealing: how that is encrypted
    office      the authority at work: it signs, renews, revokes, and keeps its book
    store       what this account has of one cluster, on disk; places, private: where, and how
    authority, checking, request, membership, revoked    who signs, for whom, and for whom no more
    knowledge   what this process knows of revocations, and whom it tells
    pem, proof  files prove that they are an identity
    claims, clusters, renewal, secret    what they are made of

Those that sign or check certificates without TLS import ``cryptography``, and are imported where
they are needed: authority, checking, moving, office,
request, sealing.
"""

from remoteobj.identity.auto import choose_identity
from remoteobj.identity.claims import ROLES, Claims, at_least, claims_in, name_in
from remoteobj.identity.files import AUTO, Auto, Identity, refuse_both
from remoteobj.identity.places import HOW_TO_PAIR

__all__ = [
    "AUTO",
    "HOW_TO_PAIR",
    "ROLES",
    "Auto",
    "Claims",
    "Identity",
    "at_least",
    "choose_identity",
    "claims_in",
    "name_in",
    "refuse_both",
]
