"""Shared objects as bytes in memory that processes of one user on one machine map.

A *blob* is an object, pickled: what is large in it (arrays) lies beside the pickle, and whoever
reads it gets views of the memory instead of copies. It is named by the hash of its content. It is
stored in one *part*, or in several: an array that ``farm.empty`` has made stays where it is.

::

    part 0:  size of the head | head | pickle | array | array ...     aligned to 64 bytes
    head:    kind, size of the pickle, (part, offset, size) of each array     MessagePack

Parts lie in *segments*: files without a name, which are opened by others as
``/proc/<pid>/fd/<number>``, and are gone with the process that made them. Where the system has none
(macOS, Windows) they are files in the temporary directory.

Children load this package by its file, without the packages around it.
"""
