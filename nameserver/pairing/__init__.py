"""How a machine comes into a cluster: by a token that is pasted, or by a short code that is typed.

From the bottom up:

* ``token``, ``invitations``, ``codes``: what is handed to people, and what the server keeps of it
* ``messages``: what the two machines say to each other; ``guessing``: how a code becomes a key
* ``host_side``, ``guest_side``: who says what, and when; without sockets and clocks
* ``desk``, ``service``, ``host``: invites, and lets in at a port that is open meanwhile
* ``joining``: what a machine does that comes

The host is the name server that has the cluster's CA, the guest is the machine that joins.
"""

JOIN_VARIABLE = "REMOTEOBJ_JOIN"
"""May hold a token, for machines that are set up by a program; no child process is given it."""
