"""A farm with a journal, in one thread, to which a plan of faults is done.

Real are the master (all of ``masterslave.master``, with its verbs), what it writes into a journal
and how that is folded, what a slave holds (``slave.work``, ``slave.keeping``), who may lead
(``nameserver.leadership``, ``leading.lease``) and what waits for a copy (``journal.steps``). Played
are the clock, the network, the disk, processes and tasks.
"""
