"""What is said of tasks that were handed out again: only those that this run has, each once."""

from __future__ import annotations

from masterslave.master.again import DID_NOT_COME, ENDED_WITH_IT, Again
from masterslave.scheduler import HandOut

KEYS = [bytes([number]) * 16 for number in range(4)]


def test_only_what_is_handed_out_counts_and_once() -> None:
    again = Again()
    again.expect(KEYS[:3], ENDED_WITH_IT)
    again.note_sent([HandOut(0, 1, 100)])
    assert not again.counts, "nothing was submitted"

    again.note_submitted(10, [KEYS[3], KEYS[1]])
    again.note_submitted(20, KEYS[:1])
    assert not again.counts, "nothing was handed out"
    again.note_sent([HandOut(10, 1, 2)])
    assert again.counts == {ENDED_WITH_IT: 1}
    again.note_sent([HandOut(10, 2, 2), HandOut(20, 1, 1)])
    assert again.counts == {ENDED_WITH_IT: 2}
    again.note_submitted(30, KEYS[:1])
    again.note_sent([HandOut(30, 1, 1)])
    assert again.counts == {ENDED_WITH_IT: 2}, "the same call once more is another matter"


def test_what_has_waited_in_vain_counts_by_its_own_reason() -> None:
    again = Again()
    again.note_released(7, DID_NOT_COME)
    again.note_sent([HandOut(6, 1, 1), HandOut(7, 1, 1)])
    assert again.counts == {DID_NOT_COME: 1}
