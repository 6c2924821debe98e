"""The slave: an agent per machine, which runs tasks in child processes, one per slot."""
