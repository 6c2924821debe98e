"""``masterslave slave``: this machine works for farms until it is told to stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from queue import Empty, SimpleQueue

import click

from masterslave.cli.identities import identity_of_slave
from masterslave.cli.parameters import Printable, Seconds, Size, machine_names
from masterslave.cli.telling import Teller
from masterslave.launch.local import SIGNAL_S
from masterslave.naming import ANY_LABEL, FarmRecord, check_label
from masterslave.offers import read_offers
from masterslave.slave.agent import Agent
from masterslave.slave.capacity import LEAST_SHARE_BYTES, usable_cpus
from masterslave.slave.desk import Desk
from masterslave.slave.giving import Giver
from masterslave.slave.offer import NamedTasks, look_at
from masterslave.slave.processes import become_reaper
from masterslave.slave.scratch import remove_stale
from masterslave.slave.usage import meter_of_this_machine
from masterslave.slave.watch import FarmWatch
from masterslave.slave.whose import LOCAL
from masterslave.slave.wires import Conditions, hold_standard_streams
from nameserver.pairing import JOIN_VARIABLE
from remoteobj import URI, BadURI, Identity
from remoteobj.cli import IdentityFiles, identity_option, insecure_option
from remoteobj.runtime import runtime_dir

__all__ = ["slave"]

_LEAVE_S = 3.0


@click.command()
@click.argument("label", default="")
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="LABEL",
    help="The same as the argument; several may be given. Default: any farm.",
)
@click.option(
    "--slots",
    type=click.IntRange(1, 4096),
    default=None,
    metavar="N",
    help="Tasks at once; default: one per CPU that may be used.",
)
@click.option(
    "--offer",
    "offers",
    multiple=True,
    metavar="NAME=AMOUNT",
    help="What tasks may need, such as gpu=1; may be given several times.",
)
@click.option(
    "--memory",
    type=Size(),
    default=0,
    metavar="SIZE",
    help="Memory for all slots together, as 4G or 512M: a task that takes more than its slot's "
    "share is ended; default: no limit.",
)
@click.option(
    "--nice",
    type=click.IntRange(0, 19),
    default=0,
    metavar="N",
    help="Lower the priority of tasks by so much.",
)
@click.option(
    "--name",
    type=Printable(),
    default="",
    help="What it is called in the farm; default: host and pid.",
)
@click.option(
    "--handlers",
    multiple=True,
    metavar="MODULE:CLASS",
    help="Offer the named tasks of this class, a masterslave.Slave; may be given again.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="MODULE:CLASS",
    help="As --handlers, and take nothing else: no code of a script, and nothing that is pickled.",
)
@click.option(
    "--allow",
    callback=machine_names,
    multiple=True,
    metavar="NAME",
    help="Run tasks of farms on this machine only, by its name or node id, or 'local' for those of "
    "this user here; may be given again. Default: of all that are found.",
)
@click.option(
    "--nameserver",
    metavar="HOST:PORT",
    help="Ask this name server; default: REMOTEOBJ_NAMESERVER, else zeroconf.",
)
@click.option(
    "--cluster",
    metavar="NAME",
    help="Work in this cluster only; default: REMOTEOBJ_CLUSTER, else the one that this machine "
    "was paired with, or that 'nameserver use' has chosen.",
)
@click.option(
    "--idle-exit",
    "idle_exit_s",
    type=Seconds(0, min_open=True),
    metavar="SECONDS",
    help="Leave when there was nothing to do for so long, with exit code 0.",
)
@click.option(
    "--only-when-idle",
    is_flag=True,
    help="Take tasks only while nobody else uses the machine; what runs then is finished.",
)
@click.option(
    "--serve",
    is_flag=False,
    flag_value="",
    default=None,
    metavar="[ADDRESS[:PORT]]",
    help="Give other slaves the shared objects that this one has fetched: with an identity on this "
    "address of the machine (all of them), over TLS; without one to this user's slaves on it. LABEL"
    " stands before it.",
)
@click.option("--local", is_flag=True, help="Serve this user's farms on this machine only.")
@click.option(
    "--join",
    is_flag=False,
    flag_value="",
    type=click.Path(allow_dash=True),
    metavar="[FILE]",
    help="Join a cluster first, with the token of 'nameserver invite' from FILE, REMOTEOBJ_JOIN, "
    "or standard input; a terminal is asked for it. Who has joined already goes on.",
)
@identity_option
@insecure_option("Ask name servers on plain TCP (for names; code never crosses it).")
@click.option("--farm", hidden=True, help="Serve the farm at this URI, and end with it.")
@click.option("--only-pid", type=int, hidden=True, help="Serve farms of this process only.")
@click.option("--until-input-ends", is_flag=True, hidden=True, help="End when standard input does.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def slave(
    label: str,
    labels: tuple[str, ...],
    slots: int | None,
    offers: tuple[str, ...],
    memory: int,
    nice: int,
    name: str,
    handlers: tuple[str, ...],
    only: tuple[str, ...],
    allow: tuple[str, ...],
    nameserver: str | None,
    cluster: str | None,
    idle_exit_s: float | None,
    only_when_idle: bool,
    serve: str | None,
    local: bool,
    join: str | None,
    identity: IdentityFiles | None,
    insecure: bool,
    farm: str | None,
    only_pid: int | None,
    until_input_ends: bool,
    debug: bool,
) -> int:  # fmt: skip
    """Run tasks for farms, those of LABEL or all, until Ctrl-C.

    On a machine that was paired ('nameserver join') farms of the cluster's other machines are
    served, too; else those of this user on this machine.

    It may be started before the farm, and survives its end. Ctrl-C finishes what runs and gives
    back the rest; Ctrl-C twice leaves at once.
    """
    wanted = list(dict.fromkeys([label, *labels] if label else labels)) or [ANY_LABEL]
    for each in wanted:
        if each != ANY_LABEL:
            check_label(each)
    if local and (nameserver is not None or cluster is not None):
        raise click.UsageError("--local asks no name server: leave it out, or what says which one")
    _check_rights(handlers, only, allow, is_local=local)
    slots = _slots_of(memory, slots or usable_cpus())
    offered = read_offers(offers)
    hold_standard_streams()
    teller = Teller(sys.stdout)
    named = look_at(only or handlers, are_all=bool(only))
    cluster = _join(join, cluster, teller, local or identity is not None or insecure)
    who = None
    if not local and farm is None:  # on one machine none is needed, so a bad one does no harm
        who, insecure, cluster = identity_of_slave(identity, insecure, cluster)
    giver = None if serve is None else _open_giver(serve, who, teller)
    become_reaper()
    remove_stale()
    share = Conditions(memory // slots, nice, threads=max(1, usable_cpus() // slots))
    agent = Agent(
        slots=slots,
        conditions=share,
        giver=giver,
        name=name,
        offers=offered,
        identity=who,
        report=teller.say,
        only_pid=only_pid,
        once=farm is not None,
        named=named,
        allow=allow,
        idle_exit_s=idle_exit_s,
        meter=meter_of_this_machine() if only_when_idle else None,
        shows_output=not until_input_ends,  # else the script shows it
    )
    requests: SimpleQueue[str] = SimpleQueue()
    signal.signal(signal.SIGINT, lambda *_: requests.put("interrupt"))
    signal.signal(signal.SIGTERM, lambda *_: requests.put("leave"))
    if until_input_ends:
        _in_background(_wait_for_end_of_input, requests)
    agent.open()
    watch = None
    desk = Desk(agent, lambda: requests.put("leave"), teller.say)
    try:
        if farm is not None:
            uri = URI(farm)
            agent.found(
                FarmRecord("", farm, uri, "", os.getppid(), "its script"), "the order to start"
            )
        else:
            where = False if local else nameserver or True
            watch = FarmWatch(
                wanted,
                agent.found,
                nameserver=where,
                identity=who,
                insecure=insecure,
                cluster=cluster,
                report=teller.say,
            )
            watch.start()
            teller.places = _places(where)
            teller.say(_what_it_looks_for(agent, wanted, slots, teller.places))
            if named.by_name:
                teller.say(_what_it_offers(named))
            desk.open()
        _in_background(_wait_until_left, agent, requests)
        return _obey(agent, requests, teller)
    finally:
        teller.close()
        desk.close()
        if watch is not None:
            watch.close()
        agent.close()


def _check_rights(
    handlers: tuple[str, ...], only: tuple[str, ...], allow: tuple[str, ...], *, is_local: bool
) -> None:
    """Refuse what contradicts itself.

    Raises:
        UsageError: It does.
    """
    if only and handlers:
        raise click.UsageError("with --only, give every class by it: nothing else is taken")
    if allow and is_local and LOCAL not in allow:
        raise click.UsageError("--local serves this machine only: give --allow local, too")


def _slots_of(memory: int, slots: int) -> int:
    """Return the slots; a limit by which each task would be ended as it begins is refused.

    Raises:
        UsageError: It is one.
    """
    if not memory or memory // slots >= LEAST_SHARE_BYTES:
        return slots
    least = f"{LEAST_SHARE_BYTES >> 20}M"
    if memory < 1 << 20:
        way_out = f"did you mean {memory}G?" if memory < 1024 else "write 4G or 512M"
        raise click.UsageError(f"--memory of {memory} bytes is too little for a task: {way_out}")
    raise click.UsageError(
        f"--memory of {memory / 2**20:.0f}M is too little for {slots} slot{'s' * (slots != 1)}: a "
        f"task cannot start in less than {least}; give more, or fewer --slots"
    )


def _obey(agent: Agent, requests: SimpleQueue[str], teller: Teller) -> int:
    """Do what signals and the farm's end ask for, until the agent has left; the exit code."""
    interrupts = 0
    deadline: float | None = None
    while True:
        if deadline is not None and time.monotonic() > deadline:
            return 0  # the masters do not answer: they will notice
        try:
            request = requests.get(timeout=SIGNAL_S)
        except Empty:
            teller.look(agent.look(), time.monotonic())
            continue
        interrupts += request == "interrupt"
        if request == "left":
            return 130 if interrupts else 0
        if request == "interrupt" and interrupts == 1:
            teller.say("finishing what runs, giving back the rest; Ctrl-C again leaves at once")
            agent.drain()
        elif interrupts > 2:
            return 130
        else:
            deadline = time.monotonic() + _LEAVE_S
            agent.leave_now()


def _places(where: str | bool) -> str:
    places = f"this user's directory {runtime_dir()}"
    if isinstance(where, str):
        return f"{places} and at the name server {where}"
    return f"{places} and at name servers" if where else places


def _what_it_looks_for(agent: Agent, labels: list[str], slots: int, places: str) -> str:
    farms = "farm " + " or ".join(map(repr, labels)) if ANY_LABEL not in labels else "any farm"
    slot_words = f"{slots} slot{'s' * (slots != 1)}"
    if agent.allowed.names:
        farms += f" of {', '.join(agent.allowed.names)} only"
    return f"slave {agent.name}, {slot_words}, looks for {farms} in {places}; Ctrl-C ends it"


def _join(join: str | None, cluster: str | None, teller: Teller, is_otherwise: bool) -> str | None:
    """Join a cluster if that is asked for; returns which one is meant."""
    if join is None:
        os.environ.pop(JOIN_VARIABLE, None)
        return cluster
    from masterslave.cli.joining import join_first  # the name server's commands: 60 ms, 8 MB

    return join_first(join, cluster, teller.say, is_otherwise=is_otherwise)


def _open_giver(address: str, identity: Identity | None, teller: Teller) -> Giver:
    """Serve other slaves at an address, or where none is said, where this one can."""
    everywhere = "0.0.0.0" if identity is not None else ""
    try:
        where = URI(f"PYRONAME:slave@{address or everywhere}".rstrip("@"))
    except BadURI:
        raise click.UsageError(
            "--serve takes an address of this machine, such as 192.168.1.20 or "
            f"192.168.1.20:9100, not {address!r}; a LABEL stands before it"
        ) from None
    giver = Giver(where.host, where.port or 0, identity=identity)
    teller.say(f"gives shared objects to other slaves at {giver.uri.location}")
    return giver


def _what_it_offers(named: NamedTasks) -> str:
    by_class: dict[str, list[str]] = {}
    for name, spec in named.by_name.items():
        by_class.setdefault(spec, []).append(name)
    offers = [f"{', '.join(names)} ({spec})" for spec, names in by_class.items()]
    more = ", and takes nothing else" if named.are_all else ""
    return f"offers the named tasks {'; '.join(offers)}{more}"


def _wait_for_end_of_input(requests: SimpleQueue[str]) -> None:
    while os.read(sys.stdin.fileno(), 4096):  # unbuffered: a lock would be held at exit
        pass
    requests.put("leave")


def _wait_until_left(agent: Agent, requests: SimpleQueue[str]) -> None:
    agent.wait_until_left()
    requests.put("left")


def _in_background(target: object, *args: object) -> None:
    assert callable(target)
    threading.Thread(target=target, args=args, daemon=True).start()
