"""Invitations: for whom, how often, until when."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from nameserver.errors import BadInvitation, JoinRefused
from nameserver.pairing.invitations import MOST_SECONDS, Invitations
from remoteobj.identity.claims import ROLES


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"role": "king"}, "'king'"),
        ({"uses": 0}, "0 machines"),
        ({"uses": 10_001}, "10001 machines"),
        ({"seconds": 0.0}, "0 s"),
        ({"seconds": float("nan")}, "nan s"),
        ({"seconds": MOST_SECONDS + 1}, "30 days"),
    ],
)
def test_what_nobody_can_be_invited_with_is_named(wrong: dict[str, object], named: str) -> None:
    invitations = Invitations()
    with pytest.raises(BadInvitation, match=named):
        invitations.invite(0.0, **wrong)  # that is what is tried
    assert not len(invitations)


def test_who_reads_what_is_kept_cannot_join() -> None:
    invitations = Invitations()
    number, secret = invitations.invite(0.0)
    (kept,) = invitations.kept()
    assert secret.hex() not in repr(kept)
    with pytest.raises(JoinRefused):
        invitations.take(number, bytes.fromhex(kept.digest)[:16], 1.0)
    assert invitations.take(number, secret, 1.0) == "member"


class Histories(RuleBasedStateMachine):
    """An invitation lets in as many as it says, in its time, who know its secret; nobody else."""

    tokens = Bundle("tokens")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.invitations = Invitations()
        self.model: dict[bytes, list[object]] = {}

    @rule(
        target=tokens,
        role=st.sampled_from(ROLES),
        uses=st.integers(1, 3),
        seconds=st.integers(1, 50),
    )
    def invite(self, role: str, uses: int, seconds: int) -> tuple[bytes, bytes]:
        number, secret = self.invitations.invite(
            self.now, role=role, uses=uses, seconds=float(seconds)
        )
        self.model[number] = [role, uses, self.now + seconds]
        return number, secret

    @rule(seconds=st.integers(1, 30))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(token=tokens)
    def join(self, token: tuple[bytes, bytes]) -> None:
        entry = self.model.get(token[0])
        if entry is None or entry[1] == 0 or self.now >= entry[2]:
            with pytest.raises(JoinRefused, match="nameserver invite"):
                self.invitations.take(*token, self.now)
        else:
            assert self.invitations.take(*token, self.now) == entry[0]
            entry[1] -= 1

    @rule(token=tokens, other=st.binary(min_size=16, max_size=16))
    def guess(self, token: tuple[bytes, bytes], other: bytes) -> None:
        if other != token[1]:
            with pytest.raises(JoinRefused):
                self.invitations.take(token[0], other, self.now)

    @rule(token=tokens)
    def withdraw(self, token: tuple[bytes, bytes]) -> None:
        self.invitations.withdraw(token[0].hex())
        self.model.pop(token[0], None)

    @rule()
    def start_anew(self) -> None:
        self.invitations = Invitations(self.invitations.kept())

    @rule()
    def forget(self) -> None:
        self.invitations.forget_ended(self.now)

    @invariant()
    def all_that_are_open_are_known(self) -> None:
        alive = {n.hex() for n, (_, left, ends) in self.model.items() if left and self.now < ends}
        assert alive <= {each.number for each in self.invitations.kept()}


TestHistories = Histories.TestCase
