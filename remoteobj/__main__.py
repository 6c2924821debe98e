"""``python -m remoteobj``: the console command of the same name."""

from remoteobj.cli import main

if __name__ == "__main__":
    main()
