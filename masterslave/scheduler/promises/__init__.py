"""What is promised about the scheduler: one function a promise, each raising ``BrokenPromise``.

A module lists its own: those that can only be checked in the moment of an event, which cost the
same however many tasks and slaves there are (``MOMENTARY``), and those whose faults are still to be
seen later, or that look at everything (``LASTING``). ``check`` checks them.
"""
