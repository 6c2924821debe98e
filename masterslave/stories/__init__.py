"""What a journal tells of one task, and running it again: for who looks at what went wrong.

::

    "12", "2:12", a key, a function  --finding-->  number  --story-->  Story  --words-->  lines
                                                   number  --recorded, loading, replaying-->  again

Nothing that others have pickled is unpickled here, but for a task that is to run again.
"""
