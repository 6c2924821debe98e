"""A farm that runs by itself, as the script sees it that attaches to it."""
