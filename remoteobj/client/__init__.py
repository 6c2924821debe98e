"""How calls are made: connections to a daemon, shared by all proxies of this process to it."""
