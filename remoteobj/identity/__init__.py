"""Who is who in a cluster: identities, what certificates say, and who signs them.

::

    claims      what a certificate says: node, role, name
    clusters    what a cluster is called, and which is meant
    pem, proof  three files prove that they are an identity
    files       Identity, which daemons and proxies take
"""

from remoteobj.identity.claims import ROLES, Claims, at_least, claims_in, name_in
from remoteobj.identity.files import Identity, refuse_both

__all__ = ["ROLES", "Claims", "Identity", "at_least", "claims_in", "name_in", "refuse_both"]
