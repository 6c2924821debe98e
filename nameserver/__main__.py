"""``python -m nameserver``: the console command of the same name."""

from nameserver.cli import main

if __name__ == "__main__":
    main()
