"""By what the next run of a script recognises a task: by what its function does."""
