"""The program of a child, the process that runs tasks; ``python -P masterslave/slave/child/``.

It is started by its file, and what it needs of this package it imports by the name
``_masterslave``, without what stands in the ``__init__`` above it: so it is up in 50 ms, and a
task's modules meet none of ours unless they import them. Imports in here are relative for that.

::

    agent --- tasks -----> loop      the main thread reads and runs:  Prepare, Define, Forget, Run
      ^                     | calls  one call, or one for each item
      |                     v
      +------ results -- outbox      Ready, Told, Unstarted
    agent --- control ---> watchdog  a thread: Flush, Reclaim; at its end, this process ends, too
    agent <-- mark ------- calls     memory of both: which call, and which item of it, runs now

The process is spawned, never forked, so ``random`` (and numpy's) is seeded by the system in each;
what a task prints goes to the agent, from C code and from processes that it has started as well.
"""
