"""``python -m masterslave``."""

from masterslave.cli import main

main()
