"""A simulated day from its settings to its figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from random import Random
from typing import Final

from scheduler.blackboard.reporting import ended_attempts
from scheduler.blackboard.store import Store
from scheduler.core.records import Event
from scheduler.core.states import Status
from scheduler.measures import rules_of
from scheduler.roster import Roster
from scheduler.settings import Settings
from scheduler.simulate.beats import PlayedBeats, beats
from scheduler.simulate.copying import Copied, every_task
from scheduler.simulate.day import Conditions, Day, Happened
from scheduler.simulate.figures import Fate, Lane, Requests, fates, lanes, requests
from scheduler.simulate.profiles import profiles
from scheduler.simulate.tasks import Arrival, made_up
from shared import clock

USUAL_AGENTS: Final = 20
_PAGE: Final = 5_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to see."""

    agents: int | None
    """None: those of the roster, else 20"""
    rpm: float
    hours: float
    arrivals: tuple[Arrival, ...] | None
    """None: those that are open on the copy, else made up"""
    seed: int


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it."""

    asked: Asked
    agents: tuple[str, ...]
    recorded: tuple[str, ...]
    """agents whose runs are as the board remembers them"""
    origin: Path | None
    tasks_from: str
    notes: tuple[str, ...]
    start: float
    end: float
    fates: tuple[Fate, ...]
    lanes: tuple[Lane, ...]
    requests: Requests
    beats: PlayedBeats
    ticks: int
    calls_avoided: int
    """looks at the board that started nothing, and heartbeats"""
    took_seconds: float
    """of real time"""


def simulate(
    settings: Settings, roster: Roster, copied: Copied, asked: Asked, start: float | None = None
) -> Result:
    """On the copy. `start`: else the next full minute. Raises BoardError."""
    began, store = clock.monotonic(), copied.store
    start = float(ceil(clock.wall() / 60) * 60) if start is None else start
    agents = _team(roster, asked.agents)
    known = profiles(ended_attempts(store))
    arrivals, tasks_from = _arrivals(asked, copied, agents)
    first = store.last_event()
    conditions = Conditions(
        start=start,
        seconds=asked.hours * 3600,
        rpm=asked.rpm,
        rules=rules_of(settings, roster),
        roster=roster,
        tick_seconds=settings.tick_seconds,
        spacing_seconds=settings.spawn_spacing_seconds,
        profiles=known,
        seed=asked.seed,
    )
    happened = Day(store, copied.directory, arrivals, conditions).live()
    end = start + conditions.seconds
    told = _fates(copied, first, happened, start)
    beating = beats(roster, start, end)
    return Result(
        asked=asked,
        agents=agents,
        recorded=tuple(sorted(known)),
        origin=copied.origin,
        tasks_from=tasks_from,
        notes=(copied.note,) if copied.note else (),
        start=start,
        end=end,
        fates=told,
        lanes=lanes(told),
        requests=requests(
            happened.team.waits, asked.rpm, conditions.seconds, happened.team.budget.most_in_a_window
        ),
        beats=beating,
        ticks=happened.ticks,
        calls_avoided=happened.calls_avoided + beating.count,
        took_seconds=clock.monotonic() - began,
    )


def _team(roster: Roster, wanted: int | None) -> tuple[str, ...]:
    """Those of the roster first, then as many as are missing."""
    known = list(roster.agents)
    count = wanted or len(known) or USUAL_AGENTS
    made = (name for number in range(1, count + len(known) + 1) if (name := f"agent-{number}") not in known)
    return tuple([*known, *made][:count])


def _arrivals(asked: Asked, copied: Copied, agents: Sequence[str]) -> tuple[Sequence[Arrival], str]:
    if asked.arrivals is not None:
        return asked.arrivals, f"{len(asked.arrivals)} of the file, {len(copied.open)} of the board"
    if copied.open:
        return (), f"{len(copied.open)} of the board"
    lots = Random(asked.seed)  # noqa: S311 - lots, not secrets
    arrivals = made_up(agents, asked.hours, lots)
    return arrivals, f"{len(arrivals)} made up"


def _fates(copied: Copied, first_event: int, happened: Happened, start: float) -> tuple[Fate, ...]:
    events = _events(copied.store, first_event)
    of_the_day = {task.id for task in copied.open} | {
        event.task for event in events if event.what == "created"
    }
    after = [task for task in every_task(copied.store, tuple(Status)) if task.id in of_the_day]
    return fates(copied.open, after, events, happened.team.runs, start)


def _events(store: Store, after: int) -> list[Event]:
    found: list[Event] = []
    while page := store.events_after(after, _PAGE):
        found += [event for _, event in page]
        after = page[-1][0]
    return found
