"""The farm, as a script sees it."""
