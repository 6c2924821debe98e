"""Large buffers between two processes of one host, through shared memory instead of the socket.

Of each direction of a connection the sender has a Lender, the receiver a Borrower. No sockets here:
the connection passes the descriptors, and the numbers travel as small words in its messages::

    sender    lend(buffers) -> Loan            copies them into one segment, a memory file
                 | fd of a new segment, its number and size; which bytes of it are the buffers
    receiver  drop(...), accept(...), borrow(...)     views of it, without a copy
                 | take_returned(): numbers, with a message that goes back
    sender    returned(...)                    it may be lent again; no fd, no new page then

Rules:

1. A segment that was lent stays as it is until the receiver has returned it.
2. A receiver returns a segment when nothing in its process can reach the bytes any more.
3. What a receiver writes stays in its process: its mapping is private. The pages that it wrote are
   dropped before the segment is returned, else they would hide what the next message brings.
4. No segment can shrink (it is sealed): a page that went away would kill who reads it.
5. A forked child has what its parent had borrowed, for good, and lends and borrows nothing.

What the caller keeps to: the message of a loan carries ``take_dropped()`` of just after it (a few
may overtake each other: the receiver has room for twice as much); after every send of a descriptor
``passed()`` is called, in a ``finally``; the receiver calls ``drop()``, ``accept()``, ``borrow()``,
in this order, and closes the connection at the first WireError.

An echo of 64 MiB (the client lends, the server borrows and lends back; 2 cores) runs at 9 times the
rate of TCP of loopback. What was tried for it stands in ``lending``, ``borrowing`` and ``memfd``.
"""

from __future__ import annotations

from remoteobj.segments.borrowing import Borrower
from remoteobj.segments.lending import Lender, Loan
from remoteobj.segments.memfd import MAX_SEGMENTS, SegmentStatistics, are_supported

__all__ = ["MAX_SEGMENTS", "Borrower", "Lender", "Loan", "SegmentStatistics", "are_supported"]
