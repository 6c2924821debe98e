"""What slaves and master say to each other: every message, with its promise.

The slave calls, the master answers; the master never dials a slave. Two verbs carry the work, each
on a connection of its own, so that a long poll never delays a result:

``next(Ask) -> Instructions``
    Takes outcomes, if any, and waits until there is something for the slave, at most a heartbeat.
    The master repeats a batch until the slave has acknowledged it, so a reply that is lost loses
    nothing; the slave drops a batch that it has taken in already.
``deliver(Delivery) -> Instructions``
    Hands outcomes over. The slave keeps them until they are acknowledged, and delivers them again
    if they were not; the master drops what it has taken in already. It does not wait, but what
    there is for the slave just then it brings along, if it is small: so as long as a slave has
    something to tell, its poll is left alone.

What the script has shared is fetched when a task first needs it, each time by a connection of its
own: ``blob(BlobAsk) -> BlobAnswer`` says where it lies, for a slave that can read it there, and how
large it is; ``piece(PieceAsk) -> bytes`` brings some of it, empty where it is gone. A slave that
cannot read it asks once more, and is told of another slave that gives it, if there is one: that one
has one verb for slaves, ``piece(PieceAsk) -> bytes | None``, where None is for what it has not yet.

A slave is known by a name that its master has drawn at random and told it alone, so that no slave
can speak for another; both verbs carry it. They say how many tasks the slave would run at once,
and which batch it has taken in. ``join`` comes first; ``Instructions.unknown`` says that the
master does not know the slave (any more): join anew, and say by which name it was known.

A farm that is *kept* outlives its master: it has an id, and another master may go on with it, by
another address. A slave whose master is gone goes on with what it has, looks for a farm of this id
(the farm's name record tells it), joins there with a list of what it holds, and delivers it by the
numbers that it was handed out by; no two masters of a farm use the same number.

A hand-out is one call of a function, or a *span*: one function for each of many items, whose
outcomes come together, each item with its own.

A function travels with the first task that uses it, and with it those of the script's modules that
the slave does not have. Both sides forget functions by the same rule, applied to the same batches,
so that they agree about what the slave has without a word.

Messages are MessagePack, made and checked by msgspec. Functions, arguments and values inside them
are opaque bytes here: only the script and the slaves' children unpack them. A value is packed by
remoteobj's codec, which runs no code where it is read, and pickled where that cannot carry it; its
first byte says which.

Each module here is one part of this: who is let in (``joining``), what a slave is given to do
(``hand_outs``, ``functions``), what became of it (``outcomes``), the messages of the two verbs
(``verbs``), what was shared (``fetching``); and all of it as bytes (``encoding``).
"""
