"""Leave work with a farm, go home, and come back for the results.

    masterslave master lab --journal lab.db --local-slaves 2    # in a terminal that stays
    python examples/overnight.py leave          # prints a ticket, and ends
    python examples/overnight.py fetch TICKET   # tomorrow, here or on another paired machine

Which number below a million takes the most steps of "halve it, or triple it and add one" to come
to 1?
"""

import argparse
from itertools import repeat

from masterslave import Farm

BLOCK = 10_000


def steps(number: int) -> int:
    """Return how many steps a number takes."""
    count = 0
    while number > 1:
        number = 3 * number + 1 if number % 2 else number // 2
        count += 1
    return count


def longest(start: int, size: int) -> tuple[int, int]:
    """Return the most steps of a block of numbers, and which number takes them."""
    return max((steps(number), number) for number in range(start, start + size))


def leave(label: str, below: int) -> None:
    """Submit all, and leave it with the farm."""
    farm = Farm.attach(label)
    farm.map(longest, range(1, below, BLOCK), repeat(BLOCK))
    print(farm.detach())


def fetch(label: str, ticket: str) -> None:
    """Wait for what is not done yet; the farm forgets the ticket when the block is left."""
    with Farm.attach(label, ticket=ticket) as farm:
        count, number = max(future.result() for future in farm.futures)
        print(f"{number} takes {count} steps; of {len(farm.futures)} blocks")


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--label", default="lab")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("leave").add_argument("--below", type=int, default=1_000_000)
    commands.add_parser("fetch").add_argument("ticket")
    asked = parser.parse_args()
    if asked.command == "leave":
        leave(asked.label, asked.below)
    else:
        fetch(asked.label, asked.ticket)


if __name__ == "__main__":
    main()
