"""How a daemon serves: a selector thread for what is quiet, workers for what is used."""
