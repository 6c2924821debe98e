"""What ``cache=True`` keeps of a script's results, in files of its user.

::

    submit, map --> Cache.find, leave_rest --> a volume has the value: that is the answer
                                           --> else it runs, and its value goes into a volume

``places`` says where the files are, ``volumes`` opens and forgets them, ``keeper`` writes to them,
``cache`` is what a farm has of it all.
"""
