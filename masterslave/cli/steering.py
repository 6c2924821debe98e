"""``masterslave drain``, ``stop`` and ``release``: one slave, told from outside."""

from __future__ import annotations

import click

from masterslave.cli.finding import ANSWER, Look, choose, with_places
from masterslave.errors import FarmError, SlaveSilent
from remoteobj import DeadlinePassed, Proxy

__all__ = ["drain", "release_slave", "stop"]


@click.command()
@click.argument("slave")
@with_places
def drain(look: Look, slave: str) -> None:
    """Have SLAVE finish what it runs, give back the rest, and leave.

    SLAVE is a name that 'masterslave list' shows, or a process id. On the slave's own machine, as
    its user, that ends the slave. From elsewhere it leaves the farms that are seen here.
    """
    _tell(look, slave, "drain")


@click.command()
@click.argument("slave")
@with_places
def stop(look: Look, slave: str) -> None:
    """Have SLAVE give back everything, what it runs too, and leave at once.

    SLAVE is a name that 'masterslave list' shows, or a process id. On the slave's own machine, as
    its user, that ends the slave. From elsewhere it leaves the farms that are seen here.
    """
    _tell(look, slave, "stop")


@click.command("release")
@click.argument("slave")
@with_places
def release_slave(look: Look, slave: str) -> None:
    """End the quarantine of SLAVE: whatever was wrong with it is mended."""
    seen = look()
    found = choose(seen.slaves, slave)
    held = [(farm, said) for farm, _, said in found.seats if said["state"] == "quarantined"]
    if not held:
        raise FarmError(f"slave {found.entry.name} is in quarantine in no farm that is seen")
    for farm, said in held:
        with Proxy(farm.uri, identity=seen.identity, settings=ANSWER) as door:
            door.release(said["id"])
        click.echo(f"slave {found.entry.name} gets tasks of farm {farm.label!r} again")


def _tell(look: Look, name: str, what: str) -> None:
    seen = look()
    found = choose(seen.slaves, name)
    if found.entry.uri is not None:
        with Proxy(found.entry.uri, settings=ANSWER) as desk:
            getattr(desk, what)()
        does = "finishes what it runs, and ends" if what == "drain" else "ends"
        click.echo(f"slave {found.entry.name} {does}")
        return
    for farm, _, said in found.seats:
        try:
            with Proxy(farm.uri, identity=seen.identity, settings=ANSWER) as door:
                door.steer(said["id"], what)
        except DeadlinePassed as error:
            raise SlaveSilent(
                f"slave {found.entry.name} has not answered farm {farm.label!r}: it or its machine "
                "may be suspended; if it stays so, the farm gives it up within seconds"
            ) from error
        does = "finishes what it runs, and leaves" if what == "drain" else "has left"
        click.echo(f"slave {found.entry.name} {does} farm {farm.label!r}")
