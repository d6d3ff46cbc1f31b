"""What came of a day: who waited how long, when what was done, how much of the budget it took. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from scheduler.core.records import Event
from scheduler.core.states import Status
from scheduler.core.task import Priority, Task
from scheduler.simulate.budget import Band
from scheduler.simulate.team import Playing, Waited


@dataclass(frozen=True, slots=True)
class Spread:
    """Of durations in seconds; None where there are none."""

    count: int
    p50: float | None = None
    p95: float | None = None
    longest: float | None = None

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """By nearest rank: each of the figures is one that occurred."""
        ordered = sorted(values)
        if not ordered:
            return cls(0)
        p50, p95 = (ordered[max(0, ceil(share * len(ordered)) - 1)] for share in (0.5, 0.95))
        return cls(len(ordered), p50, p95, ordered[-1])


@dataclass(frozen=True, slots=True)
class Fate:
    """One task of the day. Times in Unix seconds; None: not within the day."""

    task: Task
    """as it was at the end"""
    ready_at: float | None
    """when it could have been started; None: it was under way before the day, or never could"""
    begun_at: float | None = None
    """the first request of its first run"""
    finished_at: float | None = None
    """done or failed"""

    @property
    def waited(self) -> float | None:
        if self.ready_at is None or self.begun_at is None:
            return None
        return max(0.0, self.begun_at - self.ready_at)

    @property
    def took(self) -> float | None:
        if self.ready_at is None or self.finished_at is None:
            return None
        return max(0.0, self.finished_at - self.ready_at)


@dataclass(frozen=True, slots=True)
class Lane:
    """The tasks of one priority."""

    priority: Priority
    tasks: int
    done: int
    failed: int
    open: int
    waited: Spread
    """from when it could have been started to the first request of its run"""
    took: Spread
    """until it was done or failed"""


@dataclass(frozen=True, slots=True)
class Requests:
    """What the day took of the budget."""

    sent: int
    allowed: float
    """the rate times the day"""
    most_in_a_minute: int
    """in any sixty seconds"""
    held_back: Mapping[Band, Spread]
    """how long requests waited for the budget, by band; all requests, most of them not at all"""
    throttled: int
    """those that waited at all"""


NOTICED_SECONDS = 0.001


def requests(waits: Sequence[Waited], rpm: float, seconds: float, most_in_a_minute: int) -> Requests:
    """Of all requests that were sent."""
    return Requests(
        sent=len(waits),
        allowed=rpm * seconds / 60,
        most_in_a_minute=most_in_a_minute,
        held_back={band: Spread.of(each.seconds for each in waits if each.band is band) for band in Band},
        throttled=sum(each.seconds > NOTICED_SECONDS for each in waits),
    )


def fates(
    before: Iterable[Task],
    after: Iterable[Task],
    events: Iterable[Event],
    runs: Mapping[str, Playing],
    start: float,
) -> tuple[Fate, ...]:
    """Of every task that was open at the beginning or came in the day, by what the board wrote down.

    A task of before that waits for its time, or for what it depends on, is ready when that has come.
    """
    ready: dict[str, float] = {
        task.id: max(start, task.not_before or 0.0)
        for task in before
        if task.status is Status.PENDING and not task.depends_on
    }
    finished: dict[str, float] = {}
    for event in events:
        if event.what == "claimable" or (event.what == "created" and event.to_status is Status.PENDING):
            ready[event.task] = event.at
        if event.to_status in {Status.DONE, Status.FAILED}:
            if event.from_status is not event.to_status:
                finished[event.task] = event.at
        else:
            finished.pop(event.task, None)
    begun: dict[str, float] = {}
    for run, playing in runs.items():
        if (at := playing.first_sent_at) is not None:
            task = run.rpartition(".")[0]
            begun[task] = min(at, begun.get(task, at))
    return tuple(Fate(task, ready.get(task.id), begun.get(task.id), finished.get(task.id)) for task in after)


def lanes(all_fates: Sequence[Fate]) -> tuple[Lane, ...]:
    """By priority; those without tasks are left out."""
    found = []
    for priority in Priority:
        mine = [fate for fate in all_fates if fate.task.priority is priority]
        if mine:
            done = sum(fate.task.status is Status.DONE for fate in mine)
            failed = sum(fate.task.status is Status.FAILED for fate in mine)
            found.append(
                Lane(
                    priority,
                    len(mine),
                    done,
                    failed,
                    len(mine) - done - failed,
                    Spread.of(each for fate in mine if (each := fate.waited) is not None),
                    Spread.of(each for fate in mine if (each := fate.took) is not None),
                )
            )
    return tuple(found)
