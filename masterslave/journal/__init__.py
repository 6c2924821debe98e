"""A journal: the file that keeps what a farm was given, and what became of it."""
