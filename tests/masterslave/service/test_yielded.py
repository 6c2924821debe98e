"""What the service keeps of parts until a script has them: the rules alone, and by its messages."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from masterslave.protocol.attaching import PARTS_LOST, SentAnswer
from masterslave.protocol.outcomes import PART, PROGRESS
from masterslave.service.yielded import Room, Yielded
from tests.conftest import eventually
from tests.masterslave.service.bare import Bare
from tests.masterslave.service.conftest import Open, reception_of

SCRIPT, OTHER = "a script", "another"


class Reader:
    """A script, as far as it takes parts of one task."""

    def __init__(self) -> None:
        self.parts: list[int] = []
        self.lost = 0

    def take(self, sent: SentAnswer) -> None:
        if sent.kind == PARTS_LOST:
            self.lost = max(self.lost, sent.skip)
        elif sent.skip not in self.parts:
            self.parts.append(sent.skip)


@given(
    st.lists(st.sampled_from(["add", "jump", "again", "tell", "take", "got", "cut", "other"])),
    st.integers(0, 5),
)
def test_each_part_comes_in_order_or_is_said_to_be_lost(steps: list[str], most: int) -> None:
    room, all_room = Room(most * 300), Room(10_000)
    yielded, reader = Yielded(room, all_room), Reader()
    visit, visitor, taken, number = object(), SCRIPT, 0, 0
    yielded.begin(visit, visitor)
    for step in [*steps, "cut", *["take", "got"] * (2 * len(steps) + 2)]:
        match step:
            case "add" | "jump" | "again":
                number = max(0, number + {"add": 0, "jump": 3, "again": -4}[step])
                yielded.add(7, PART, number, bytes(40))
                number += 1
            case "tell":
                yielded.add(7, PROGRESS, -1, b"x")
            case "take":
                sent = yielded.take(visit)
                if sent is not None:
                    taken += 1
                    reader.take(sent) if sent.kind != PROGRESS else None
            case "got":
                yielded.got(visit, taken)
                taken = 0
            case "cut" | "other":
                old, visit, taken = visit, object(), 0
                if step == "other":
                    visitor, reader = visitor + OTHER, Reader()
                yielded.begin(visit, visitor)
                assert yielded.take(old) is None
                yielded.got(old, 5)
    highest = max((one for one in reader.parts), default=-1)
    missing = set(range(max(highest + 1, reader.lost))) - set(reader.parts)
    assert not missing or max(missing) < reader.lost
    assert "again" in steps or reader.parts == sorted(reader.parts)
    assert not yielded
    assert room.take(most * 300), "all of its room is free again"
    assert all_room.take(10_000)


def test_what_is_dropped_and_forgotten_takes_no_room() -> None:
    room = Room(1000)
    yielded = Yielded(room)
    for number in range(10):
        yielded.add(0, PART, number, bytes(100))
        yielded.add(1, PROGRESS, -1, bytes(number))
    visit = object()
    yielded.begin(visit, SCRIPT)
    told = [sent for _ in range(10) if (sent := yielded.take(visit)) is not None]
    assert [(one.first, one.kind, one.skip) for one in told] == [
        (1, PROGRESS, -1), (0, PART, 0), (0, PART, 1), (0, PARTS_LOST, 10),
    ]  # fmt: skip
    assert told[0].payload == bytes(9), "the latest"
    yielded.add(0, PART, 2**40, b"")  # no task has so many
    assert not yielded
    assert not room.take(1000)
    yielded.forget()
    assert room.take(1000)


def five(gate: str) -> Any:
    from tests.masterslave.gates import wait_at

    yield from range(5)
    wait_at(gate)
    return "all"


def test_parts_that_were_not_acknowledged_come_again(open_service: Open, tmp_path: Any) -> None:
    service, gate = open_service(local_slaves=1), tmp_path / "gate"

    def numbers(script: Bare) -> list[int]:
        return [item for _, kind, item in script.parts if kind == PART]

    with Bare(reception_of(service), visitor=SCRIPT) as script:
        script.calls(five, [str(gate)])
        while len(script.parts) < 5:
            told = script.collect()
        unsaid = [one.skip for one in told.answers]
        assert unsaid[-1] == 4, "that is not acknowledged before the next question"
    eventually(lambda: service.jobs()[0]["state"] == "detached", "the script is gone")
    with Bare(reception_of(service), script.ticket, visitor=SCRIPT) as again:
        while len(again.parts) < len(unsaid):
            again.collect()
        assert numbers(again) == unsaid
        again.collect()
    eventually(lambda: service.jobs()[0]["state"] == "detached", "the script is gone")
    with Bare(reception_of(service), script.ticket, visitor=OTHER) as other:
        other.collect()
        assert other.parts == [(0, PARTS_LOST, 5)]
        gate.touch()
        assert other.collect_all() == {0: "all"}
        assert other.answers[0].skip == -1 - 5
    service.close()
    with Bare(reception_of(open_service()), script.ticket) as later:
        later.collect_all()
        assert later.answers == other.answers
