"""What a name server publishes: Pyro5's own methods, and beside them what those cannot say.

The shapes of the first are those of Pyro5's ``nameserver.py``, so that stock Pyro5 tools can use
it: ``lookup`` gives a URI, or with metadata a pair; ``list`` gives a dict of names to URIs as text,
or to pairs. The others take and give plain values, see ``record.to_plain``.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import replace as replaced
from typing import Any, TypeVar

from nameserver.admission import Admission
from nameserver.book import Book
from nameserver.changes import Lease, Registrant, Revision
from nameserver.errors import BadName, NamingError
from nameserver.leader_wire import claim_from
from nameserver.leader_wire import to_plain as plain_leadership
from nameserver.networks import is_address
from nameserver.pattern import Pattern
from nameserver.record import NAME_SERVER, Record, make_record, to_plain, to_text
from nameserver.waiting import Answer
from remoteobj import URI, current_caller, expose
from remoteobj.callers import THIS_MACHINE, current_peer
from remoteobj.errors import NotAllowed

__all__ = ["MAX_LEASE_S", "MAX_WAIT_S", "MIN_LEASE_S", "NameService"]

MIN_LEASE_S, MAX_LEASE_S = 1.0, 86_400.0
MAX_WAIT_S = 60.0
_MAX_TEXT_LENGTH = 200
_HERE = (THIS_MACHINE, "this process")  # what remoteobj calls a peer that has no address

Given = TypeVar("Given")
Made = TypeVar("Made")


@expose
class NameService:
    """The names of a server, for callers from any thread and any machine.

    Slaves may ask; whoever changes a name has to be a member, and a name that a machine of the
    cluster has registered is that machine's: see ``Registry``.

    Args:
        book: The names.
        admission: Takes in what is registered.
        node: This machine, in the cluster; empty where it is in none.
    """

    def __init__(self, book: Book, admission: Admission, node: str = "") -> None:
        self._book = book
        self._admission = admission
        self._node = node

    # As Pyro5 has them.

    @expose(role="slave")
    def ping(self) -> None:
        """Do nothing: an answer is the answer."""

    @expose(role="slave")
    def count(self) -> int:
        """Return how many names there are."""
        return self._book.count()

    def register(
        self, name: str, uri: URI | str, safe: bool = False, metadata: Any = None
    ) -> Future[None]:
        """Give an object a name; with *safe*, one that is taken stays as it is and this raises."""
        record = self._asked(name, uri, metadata or ())
        failures = self._admission.register(record, None, _registrant(), replace=not safe)
        return _then(failures, lambda _: None)

    def set_metadata(self, name: str, metadata: Any) -> None:
        """Give a name other metadata."""
        _refuse_own(name)
        self._book.set_metadata(name, metadata or (), self._by())

    @expose(role="slave")
    def lookup(self, name: str, return_metadata: bool = False) -> Any:
        """Return the URI of a name, with *return_metadata* as a pair with its metadata."""
        record = self._for_caller(self._book.lookup(name))
        return (record.uri, set(record.metadata)) if return_metadata else record.uri

    def remove(
        self, name: str | None = None, prefix: str | None = None, regex: str | None = None
    ) -> int:
        """Forget one name, or those that begin with *prefix*, or match *regex*; return how many.

        The name server's own name stays.
        """
        names = [name] if name else list(self.list(prefix, regex)) if prefix or regex else []
        return self._book.remove(names, self._by())

    @expose(role="slave")
    def list(
        self, prefix: str | None = None, regex: str | None = None, return_metadata: bool = False
    ) -> dict[str, Any]:
        """Return names and URIs: all, or those that begin with *prefix*, or match *regex*.

        Which expressions there are, ``pattern.Pattern`` says.
        """
        if prefix and regex:
            raise ValueError("give a prefix or a regular expression, not both")
        records = self._book.list(prefix or "")
        if regex:
            pattern = Pattern(regex)
            records = tuple(record for record in records if pattern.matches(record.name))
        return _as_pyro(map(self._for_caller, records), return_metadata)

    @expose(role="slave")
    def yplookup(
        self, meta_all: Any = None, meta_any: Any = None, return_metadata: bool = True
    ) -> dict[str, Any]:
        """Return the names with all, or any, of these metadata; none where none are given."""
        if meta_all and meta_any:
            raise ValueError("give meta_all or meta_any, not both")
        tags = meta_all or meta_any or ()
        if isinstance(tags, str):
            raise TypeError("metadata are a set of texts, not one text")
        if not tags:
            return {}
        found = self._book.with_metadata(tags, every=bool(meta_all))
        return _as_pyro(map(self._for_caller, found), return_metadata)

    # What those cannot say.

    @expose(role="slave")
    def instance(self) -> str:
        """Return what tells this run of the server from every other."""
        return self._book.instance

    @expose(role="slave")
    def about(self) -> dict[str, str]:
        """Return which release of this program, and of Python, serves here."""
        from importlib import metadata  # 20 ms, which only who asks pays

        return {
            "release": metadata.version("remoteobj-farm"),
            "python": platform.python_version(),
        }

    @expose(role="slave")
    def find(self, name: str) -> str:
        """Return the record of a name, as ``record.to_text`` writes it."""
        return to_text(self._for_caller(self._book.lookup(name)))

    @expose(role="slave")
    def records(self, prefix: str = "") -> Any:
        """Return the records whose names begin with *prefix*, in the order of their names."""
        return [to_plain(self._for_caller(record)) for record in self._book.list(prefix)]

    def speak(self, token: str) -> None:
        """Take note that the process that knows *token* can be reached where this call is from."""
        _check_text("token", token)
        self._admission.note_speaker(token, _registrant())

    def put(
        self,
        name: str,
        uri: str,
        metadata: Any,
        lease: tuple[str, float] | None,
        replace: bool,
        replaces: str | None,
        token: str = "",
    ) -> Future[Any]:
        """Give an object a name, for as long as a lease is renewed if there is one.

        Returns:
            The addresses that could not be proved, each with the reason.
        """
        return self._admission.register(
            self._asked(name, uri, metadata),
            _lease(*lease) if lease else None,
            _registrant(),
            token=token,
            replace=replace,
            replaces=URI(replaces) if replaces else None,
        )

    def renew(self, lease: str) -> Any:
        """Give a lease its time anew.

        Returns:
            Whether there is one, else its holder has to register; and those of its names that
            somebody else has removed or replaced, which have to stay so.
        """
        told = self._book.renew(lease)
        return told.is_known, sorted(told.taken)

    def release(self, lease: str, name: str | None = None) -> int:
        """Forget the names that a lease keeps, or one of them; return how many."""
        return self._book.release(lease, name)

    @expose(role="slave")
    def watch(
        self, prefix: str, instance: str, number: int, wait_s: float, watcher: str
    ) -> Future[Any]:
        """Tell what has changed since a revision, as soon as something has, at most in *wait_s*.

        Returns:
            A dict of the server's ``instance``, the ``number`` of the last change that is told, and
            ``changes``: pairs of a kind and a record; or ``records``: all there is.
        """
        _check_text("prefix", prefix)
        _check_text("watcher", watcher)
        if not isinstance(instance, str) or not isinstance(number, int):
            raise NamingError(f"{instance!r}, {number!r} is no revision: a text and a number are")
        since = Revision(instance, number) if instance else None
        wait_s = min(wait_s, MAX_WAIT_S) if wait_s > 0 else 0.0  # which NaN is not
        peer, instance = _caller(), self._book.instance

        def plain(answer: Answer) -> dict[str, Any]:
            return _plain(answer, instance, lambda record: self._admission.for_caller(record, peer))

        return _then(self._book.watch(prefix, since, wait_s, watcher), plain)

    @expose(role="slave")
    def unwatch(self, watcher: str) -> None:
        """Tell a watcher that there is nothing, so that it can end."""
        self._book.unwatch(watcher)

    # Who leads; for members, and each for its own machine.

    def lead(self, claim: Any) -> Any:
        """Give or renew a leadership; see :mod:`nameserver.leadership`."""
        return plain_leadership(self._book.lead(claim_from(claim), self._by()))

    def resign(self, name: str, holder: str, epoch: int, run: str, turn: int) -> bool:
        """Let the lease of a leadership be over."""
        return self._book.resign(name, holder, epoch, self._by(), run=run, turn=turn)

    def leader(self, name: str) -> Any:
        """Return who leads a name, or led it last; None: nothing is known."""
        told = self._book.leader(name)
        return None if told is None else plain_leadership(told)

    def leaders(self) -> Any:
        """Return who leads which names."""
        return [plain_leadership(told) for told in self._book.leaders()]

    def free_leadership(self, name: str) -> Any:
        """Let whoever asks take a leadership whose lease is over; for operators."""
        by = self._by()
        if by.node and by.role != "operator":  # over plain TCP nobody is known to be one
            raise NotAllowed(f"only operators of the cluster may set {name!r} free")
        return plain_leadership(self._book.free(name))

    def _by(self) -> Registrant:
        """Return who calls; this user's processes on this machine are its own."""
        caller = current_caller()
        is_own = not caller.node and caller.role == "operator"
        return Registrant(self._node if is_own else caller.node, caller.role)

    def _asked(self, name: str, uri: URI | str, metadata: Any) -> Record:
        _refuse_own(name)
        node, role = self._by()
        # Plain TCP proves nothing, so it says nothing.
        return replaced(make_record(name, uri, metadata), node=node, role=role if node else "")

    def _for_caller(self, record: Record) -> Record:
        return self._admission.for_caller(record, _caller()) if record.hosts[1:] else record


def _refuse_own(name: str) -> None:
    if name == NAME_SERVER:
        raise BadName(f"{name!r} is the name server itself: choose another name")


def _check_text(what: str, text: Any) -> None:
    """Refuse what would be kept, and is no text or a long one."""
    if not isinstance(text, str) or len(text) > _MAX_TEXT_LENGTH:
        raise NamingError(f"{what} is a text of at most {_MAX_TEXT_LENGTH} characters")


def _lease(lease: str, lease_s: float) -> Lease:
    _check_text("the id of a lease", lease)
    if not lease:
        raise NamingError("the id of a lease is empty: make one up that nobody else knows")
    if not MIN_LEASE_S <= lease_s <= MAX_LEASE_S:
        raise NamingError(
            f"a lease of {lease_s:g} s: from {MIN_LEASE_S:g} to {MAX_LEASE_S:g} s are possible"
        )
    return Lease(lease, float(lease_s))


def _caller() -> str:
    """Return the address of whoever calls; empty on a Unix socket, and where it is not known."""
    host = current_peer().rpartition(":")[0].strip("[]")
    return host if is_address(host) else ""


def _registrant() -> str:
    """Return the address of whoever registers; empty on a Unix socket, which is this machine.

    Raises:
        NamingError: It is not known, and what belongs to this machine is not for strangers.
    """
    address = _caller()
    if not address and current_peer() not in _HERE:
        raise NamingError("it is not known from where this call has come: call again")
    return address


def _then(done: Future[Given], make: Callable[[Given], Made]) -> Future[Made]:
    """Return the future of what *make* makes of a future's result; errors stay."""
    made: Future[Made] = Future()

    def settle(done: Future[Given]) -> None:
        try:
            made.set_result(make(done.result()))
        except BaseException as error:
            made.set_exception(error)

    done.add_done_callback(settle)
    return made


def _plain(answer: Answer, instance: str, see: Callable[[Record], Record]) -> dict[str, Any]:
    told: dict[str, Any] = {"instance": instance, "number": answer.number}
    if answer.records is not None:
        told["records"] = [to_plain(see(record)) for record in answer.records]
    else:
        told["changes"] = [
            [change.kind, change.number, to_plain(see(change.record))] for change in answer.changes
        ]
    return told


def _as_pyro(records: Iterable[Record], return_metadata: bool) -> dict[str, Any]:
    if return_metadata:
        return {record.name: (str(record.uri), set(record.metadata)) for record in records}
    return {record.name: str(record.uri) for record in records}
