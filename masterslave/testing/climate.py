"""What happens to a simulated farm, and how often; as one frozen value, or drawn from a seed."""

from __future__ import annotations

from random import Random

from msgspec import Struct

__all__ = ["Climate"]


class Climate(Struct, frozen=True, kw_only=True):
    """Chances and times of a simulated farm; times are in seconds of the fake clock."""

    exchange_s: float = 0.0005
    """How long a message between master and slave takes, about."""

    join_within_s: float = 1.0
    """Slaves join at random moments within this time; some join first, so that there is one."""

    submit_within_s: float = 1.0
    """The script submits at random moments within this time."""

    task_s: tuple[float, ...] = (0.001, 0.05)
    """Mean time of the tasks of each function."""

    spread: float = 0.5
    """How much tasks of one function differ: 0 not at all, 1 exponentially."""

    straggler_share: float = 0.0
    """Of hand-outs, those that take 50 times as long."""

    slow_share: float = 0.0
    """Of slaves, those that are ten times slower."""

    bad_share: float = 0.0
    """Of slaves, those on which three of four tasks raise."""

    span_share: float = 0.5
    """Of tasks, those that are items of spans."""

    priorities: int = 1
    owners: int = 1
    retry_share: float = 0.0
    """Of submissions, those whose tasks are retried, twice, when they raise."""

    raise_share: float = 0.0
    """Of runs, those that raise."""

    poison_share: float = 0.0
    """Of tasks, those that kill their process, always."""

    limit_share: float = 0.0
    """Of submissions, those whose tasks may run for a time only, 20 times as long as they take."""

    need_share: float = 0.0
    """Of submissions, those that need amounts of what only some slaves offer."""

    place_share: float = 0.0
    """Of submissions, those that are for the slaves of one host, or of one kind."""

    after_share: float = 0.0
    """Of submissions, those that are to follow some of the tasks before."""

    unable_share: float = 0.0
    """Of functions, those that a host cannot run; each can be run on the first host."""

    cancel_share: float = 0.0
    """Of tasks, those that are cancelled at a random moment, if they have no answer by then."""

    child_loss_share: float = 0.0
    """Of hand-outs, those whose process is killed."""

    culprit_share: float = 0.7
    """Of lost hand-outs, those of which is known which item ran."""

    mishap_every_s: float = 0.0
    """A slave crashes, falls silent, sleeps, drains, or changes its slots, so often, about; 0:
    never. A new one joins for each that goes."""

    duplicate_share: float = 0.0
    """Of deliveries, those that come twice."""

    @classmethod
    def of(cls, random: Random) -> Climate:
        """Draw a climate: calm ones, and ones in which everything happens."""

        def some(most: float) -> float:
            return random.choice((0.0, 0.0, random.uniform(0.0, most), most))

        shortest_s, longest_s = random.choice(((1e-5, 1e-3), (1e-4, 0.1), (0.01, 1.0)))
        return cls(
            exchange_s=random.choice((0.0002, 0.001, 0.01)),
            join_within_s=some(2.0),
            submit_within_s=some(1.0),
            task_s=tuple(
                random.uniform(shortest_s, longest_s) for _ in range(random.randint(1, 4))
            ),
            spread=random.choice((0.0, 0.3, 1.0)),
            straggler_share=some(0.02),
            slow_share=some(0.3),
            bad_share=some(0.3),
            span_share=random.choice((0.0, 0.5, 1.0)),
            priorities=random.choice((1, 1, 3)),
            retry_share=some(1.0),
            raise_share=some(0.1),
            poison_share=some(0.02),
            limit_share=random.choice((0.0, 0.0, 0.5)),
            need_share=random.choice((0.0, 0.0, 0.3)),
            place_share=random.choice((0.0, 0.0, 0.3)),
            after_share=random.choice((0.0, 0.0, 0.3, 1.0)),
            unable_share=random.choice((0.0, 0.0, 0.3)),
            cancel_share=some(0.2),
            child_loss_share=some(0.05),
            culprit_share=random.choice((0.0, 0.7, 1.0)),
            mishap_every_s=random.choice((0.0, 0.1, 1.0)),
            duplicate_share=some(0.2),
            owners=random.choice((1, 1, 3)),
        )
