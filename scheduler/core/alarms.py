"""What the scheduler itself has to tell when nobody watches it: what is wrong, once, and when it is over.

An episode begins when something is seen to be wrong. It is told when it has lasted for longer than such
trouble often lasts by itself, and once more when it has been gone for two looks. What nobody knows at the
moment neither begins an episode nor ends one. And what lasts is what was seen again: one observation, however
often it is read, is no duration.

The rule: a cause holds the kind and the beginning of its episode, so what was told can be read back from the
outbox, and a restart in the middle of an episode tells nothing twice.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from scheduler.core.capacity import Capacity
from scheduler.core.durations import in_words
from scheduler.core.records import Notice
from scheduler.core.snapshot import EVERYBODY, BoardSnapshot, Waiting
from scheduler.core.states import Status

TARGET: Final = "critical"
CAUSE: Final = "watch:"
"""The beginning of every cause."""

AWAY_SECONDS: Final = 25.0
"""Without an answer: a restart takes less. And less than two looks are apart."""
FLOOR_SECONDS: Final = 600.0
NO_PROGRESS_SECONDS: Final = 3600.0
OVER_SECONDS: Final = 25.0
"""Without the trouble, before that is told: what flaps is one episode."""
FLOOR_RPM: Final = 5.0
"""The lowest pace of a sidecar that does not say whether it is there."""
SOURCE_FAILURES: Final = 3
LEAST_DISK_SHARE: Final = 0.10
ENOUGH_DISK_SHARE: Final = 0.11
"""A disk that is written and pruned all the time passes the limit more than once."""


@dataclass(frozen=True, slots=True)
class SourceFact:
    """A task source, as far as it was asked."""

    name: str
    failures_in_a_row: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """What could be started."""

    waiting: int
    """tasks that nothing of their own, nobody's pause and no dependency keeps waiting"""
    since: float
    """when the first of them could have started, or when anything last made progress, whichever is later"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at one moment. None: nobody knows, or nobody wants to."""

    capacity: Capacity | None = None
    """the sidecar's; None: there is none, or nobody asks it"""
    capacity_at: float | None = None
    """when it was asked; None: now"""
    gateway_up: bool | None = None
    gateway_error: str = ""
    gateway_at: float | None = None
    """when it was looked at; None: now"""
    sources: tuple[SourceFact, ...] = ()
    work: Work | None = None
    """None: nobody is to be started (the ticker is stopped)"""
    disk_free: float | None = None
    """share of the state directory's disk, 0 to 1"""


@dataclass(frozen=True, slots=True)
class Episode:
    """One trouble, from when it was first seen."""

    since: float
    told: bool = False
    gone_at: float | None = None


@dataclass(frozen=True, slots=True)
class _Trouble:
    text: str
    lasting: float = 0.0
    """seconds; shorter is no news"""
    since: float | None = None
    """None: it was not there at the last look"""
    urgent: bool = True


@dataclass(frozen=True, slots=True)
class _Observed:
    """One kind of trouble, as it was at a moment."""

    kind: str
    trouble: _Trouble | None
    """None: all is well with it"""
    at: float


@dataclass(frozen=True, slots=True)
class Watched:
    """The episodes that go on, and what is to be told."""

    episodes: Mapping[str, Episode]
    notices: tuple[Notice, ...]


def watch(facts: Facts, episodes: Mapping[str, Episode], now: float, *, watching_since: float) -> Watched:
    """One look. `watching_since`: before, the scheduler did not run, so there was no progress to be made."""
    after, told = dict(episodes), list[Notice]()
    for seen in _looked(facts, now, watching_since):
        kind, trouble = seen.kind, seen.trouble
        episode = after.pop(kind, None)
        if trouble is not None:
            begun = seen.at if trouble.since is None else trouble.since
            episode = replace(episode, gone_at=None) if episode else Episode(begun)
            if not episode.told and seen.at - episode.since >= trouble.lasting:
                episode = replace(episode, told=True)
                told.append(_notice(kind, episode, "begins", trouble.text, now, urgent=trouble.urgent))
            after[kind] = episode
        elif episode is not None and episode.told:
            gone_at = seen.at if episode.gone_at is None else episode.gone_at
            if seen.at - gone_at >= OVER_SECONDS:
                text = f"{_over(kind)}, after {in_words(gone_at - episode.since)}."
                told.append(_notice(kind, episode, "over", text, now, urgent=_is_urgent(kind)))
            else:
                after[kind] = replace(episode, gone_at=gone_at)
    return Watched(after, tuple(told))


def is_over(notice: Notice) -> bool:
    """It is good news: of an episode that has ended."""
    return notice.cause.endswith(":over")


def resumed(causes: Iterable[str]) -> Mapping[str, Episode]:
    """The episodes that were told and not over, by what stands in the outbox, in its order."""
    episodes: dict[str, Episode] = {}
    for cause in causes:
        if (match := _CAUSE.fullmatch(cause)) is None:
            continue
        kind, since, what = match.groups()
        if what == "begins":
            episodes[kind] = Episode(float(since), told=True)
        else:
            episodes.pop(kind, None)
    return episodes


def work(board: BoardSnapshot, progress_at: float | None, now: float) -> Work:
    """`progress_at`: when the board last saw any."""
    paused = {name for name, record in board.agents.items() if (record.paused_until or 0) > now}
    could: list[float] = []
    if EVERYBODY not in paused:
        could = [_since(each) for each in board.waiting if _may_start(each, board, now, paused)]
    if not could:
        return Work(0, now)
    moved = [each.progress_at for each in board.held if each.progress_at is not None]
    return Work(len(could), max(min(could), progress_at or 0.0, *moved))


def _may_start(waiting: Waiting, board: BoardSnapshot, now: float, paused: set[str]) -> bool:
    return (
        waiting.status is Status.PENDING
        and waiting.assignee is not None
        and waiting.assignee not in paused
        and not board.unmet.get(waiting.number)
        and _since(waiting) <= now
    )


def _since(waiting: Waiting) -> float:
    return max(waiting.pending_since, waiting.not_before or 0.0)


# -- what is wrong -----------------------------------------------------------------------------------------

_SLOW_ONLY: Final = ("floor", "source:")
"""Work goes on: nobody is woken."""
_OVER: Final = {
    "sidecar": "The sidecar answers again",
    "blocked": "The model API is no longer blocked",
    "floor": "The sidecar is faster than its lowest pace again",
    "gateway": "OpenClaw's gateway answers again",
    "progress": "Tasks make progress again",
    "disk": "There is room on the disk again",
}
_CAUSE: Final = re.compile(r"watch:(.+):([0-9]+):(begins|over)")


def _looked(facts: Facts, now: float, watching_since: float) -> Iterator[_Observed]:
    """Each kind of which something is known."""
    if facts.capacity is not None:
        at = now if facts.capacity_at is None else facts.capacity_at
        yield from (_Observed(kind, trouble, at) for kind, trouble in _sidecar(facts.capacity))
    if facts.gateway_up is not None:
        why = f": {_clause(facts.gateway_error)}" if facts.gateway_error else ""
        text = f"OpenClaw's gateway does not answer{why}. Nothing is started."
        at = now if facts.gateway_at is None else facts.gateway_at
        yield _Observed("gateway", None if facts.gateway_up else _Trouble(text, AWAY_SECONDS), at)
    for source in facts.sources:
        why = _clause(source.reason)
        text = f"The source {source.name} failed {source.failures_in_a_row} times in a row: {why}."
        failed = source.failures_in_a_row >= SOURCE_FAILURES
        yield _Observed(f"source:{source.name}", _Trouble(text, urgent=False) if failed else None, now)
    if facts.work is not None:
        yield from (_Observed("progress", each, now) for each in _standstill(facts.work, now, watching_since))
    if (free := facts.disk_free) is not None and not LEAST_DISK_SHARE <= free < ENOUGH_DISK_SHARE:
        text = f"Only {free:.0%} of the disk is free. A full one stops all work."
        yield _Observed("disk", _Trouble(text) if free < LEAST_DISK_SHARE else None, now)


def _sidecar(capacity: Capacity) -> Iterator[tuple[str, _Trouble | None]]:
    if not capacity.known:
        yield "sidecar", _Trouble(f"The sidecar is away: {_clause(capacity.error)}.", AWAY_SECONDS)
        return
    yield "sidecar", None
    if capacity.blocked is not None:
        text = f"The model API is blocked: {capacity.blocked.reason}. Nothing is started."
        yield "blocked", _Trouble(text)
        return
    yield "blocked", None
    crawls = capacity.at_floor
    if crawls is None:
        crawls = capacity.retreat_state == "retreat" and capacity.effective_rpm <= FLOOR_RPM
    text = f"The model API throttles: {capacity.effective_rpm:g} requests a minute, the lowest pace."
    yield "floor", _Trouble(text, FLOOR_SECONDS, urgent=False) if crawls else None


def _standstill(work: Work, now: float, watching_since: float) -> Iterator[_Trouble | None]:
    if not work.waiting or now - work.since < NO_PROGRESS_SECONDS:
        yield None
    elif now - watching_since >= NO_PROGRESS_SECONDS:  # else nobody was there who could have made any
        tasks = "1 task waits" if work.waiting == 1 else f"{work.waiting} tasks wait"
        text = f"{tasks}, and nothing has made progress for an hour."
        yield _Trouble(text, since=work.since)


def _clause(foreign: str) -> str:
    """To stand inside a sentence of ours."""
    return foreign.rstrip(" .")


def _over(kind: str) -> str:
    return _OVER.get(kind) or f"The source {kind.partition(':')[2]} answers again"


def _is_urgent(kind: str) -> bool:
    return not kind.startswith(_SLOW_ONLY)


def _notice(kind: str, episode: Episode, what: str, text: str, now: float, *, urgent: bool) -> Notice:
    return Notice(TARGET, f"{CAUSE}{kind}:{episode.since:.0f}:{what}", text, now, urgent=urgent)
