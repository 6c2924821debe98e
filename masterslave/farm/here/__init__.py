"""``Farm(here=True)``: tasks run in threads of the script's own process.

::

    submit --> Master --> HereSlave --> Slot, a thread: the child's own Caller
    future <--     `<--- deliver <---'

The slave sits at the real master, so what is decided is decided as for any other: order, retries,
chunks. What travels is packed as for any other, too. There is no process, no socket, and no name.
"""
