"""The agents, played: a run is so many requests one after the other, and each takes so long. Pure.

An engine: `begin` and `stop` say what happened, `advance` lets time pass. `random` is seeded by whoever makes
the team, so that the same day comes twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random
from typing import Final

from scheduler.core.capacity import CallerActivity
from scheduler.core.sighting import RunSeen, RunState
from scheduler.simulate.budget import Band, Budget
from scheduler.simulate.profiles import Profile

SPREAD: Final = 0.5
"""A run has from half to one and a half times the requests that its agent's have on average; so has the time
that each takes."""
ANSWER: Final = '{"decision": "accept", "reason": "simulated"}'
"""Of every run that ends well: a result that is not empty, and a verdict where one is asked for."""


@dataclass(slots=True)
class Playing:
    """One run. Only the team changes it."""

    run: str
    agent: str
    session: str
    band: Band
    requests_left: int
    seconds_per_request: float
    ends_well: bool
    in_flight: bool = False
    state: RunState = RunState.RUNNING
    turns: int = 0
    first_sent_at: float | None = None


@dataclass(frozen=True, slots=True)
class Waited:
    """What one request waited for the budget."""

    band: Band
    seconds: float


@dataclass(slots=True)
class PlayedTeam:
    """Owner of the runs and of their requests. Times in Unix seconds."""

    budget: Budget
    profile: Callable[[str], Profile]
    random: Random
    runs: dict[str, Playing] = field(default_factory=dict)
    """all that ever began"""
    _live: dict[str, Playing] = field(default_factory=dict)
    ends: int = 0
    """runs that are over"""
    waits: list[Waited] = field(default_factory=list)
    _requests: dict[str, int] = field(default_factory=dict)
    """by agent, since the beginning"""
    _events: list[tuple[float, int, Callable[[float], None]]] = field(default_factory=list)
    _order: "count[int]" = field(default_factory=count)
    _grant_at: float = inf

    # -- what happens ----------------------------------------------------------------------------------

    def begin(
        self, run: str, agent: str, session: str, *, band: Band, at: float, fixed: int | None = None
    ) -> None:
        """Its first request comes at `at`. `fixed`: so many requests, whatever its agent's have."""
        if run in self.runs:
            return  # nothing is started twice under one key
        profile, lot = self.profile(agent), self._lot
        playing = self.runs[run] = self._live[run] = Playing(
            run,
            agent,
            session,
            band,
            requests_left=fixed or max(1, round(profile.requests * lot())),
            seconds_per_request=profile.seconds_per_request,
            ends_well=self.random.random() >= profile.failing_share,
        )
        self._at(at, partial(self._ask, playing))

    def stop(self, session: str) -> None:
        """Its run ends now, if it has not ended."""
        for playing in list(self._live.values()):
            if playing.session == session:
                self._end(playing, RunState.ABORTED)
                self.budget.cancel(playing.run)

    def advance(self, until: float) -> None:
        """Everything that happens up to then."""
        while self._events and self._events[0][0] <= until:
            at, _, happen = heappop(self._events)
            happen(at)

    # -- what is shown ---------------------------------------------------------------------------------

    def seen(self, run: str) -> RunSeen:
        """As the gateway would say it."""
        playing = self.runs.get(run)
        if playing is None:
            return RunSeen(run, RunState.ABSENT)
        match playing.state:
            case RunState.OK:
                return RunSeen(run, RunState.OK, answer=ANSWER, turns=playing.turns)
            case RunState.FAILED:
                return RunSeen(run, RunState.FAILED, error="it failed, as some do", turns=playing.turns)
            case state:
                return RunSeen(run, state, turns=playing.turns)

    def activities(self) -> tuple[CallerActivity, ...]:
        """As the sidecar would say it, of every agent that ever asked."""
        queued: dict[str, int] = {}
        in_flight: dict[str, int] = {}
        for playing in self._live.values():
            queued[playing.agent] = queued.get(playing.agent, 0) + self.budget.waits(playing.run)
            in_flight[playing.agent] = in_flight.get(playing.agent, 0) + playing.in_flight
        return tuple(
            CallerActivity(
                agent, queued=queued.get(agent, 0), in_flight=in_flight.get(agent, 0), requests=requests
            )
            for agent, requests in self._requests.items()
        )

    # -- one request after the other -------------------------------------------------------------------

    def _ask(self, playing: Playing, now: float) -> None:
        if playing.state is RunState.RUNNING:
            self._requests.setdefault(playing.agent, 0)
            self.budget.ask(playing.run, playing.band, now)
            self._grant(now)

    def _grant(self, now: float) -> None:
        gone, again = self.budget.grant(now)
        for sent in gone:
            self.waits.append(Waited(sent.band, sent.waited))
            playing = self.runs[sent.run]
            playing.in_flight = True
            if playing.first_sent_at is None:
                playing.first_sent_at = now
            self._requests[playing.agent] += 1
            takes = playing.seconds_per_request * self._lot()
            self._at(now + takes, partial(self._answered, playing))
        if again is not None and (again < self._grant_at or self._grant_at <= now):
            self._grant_at = again
            self._at(again, self._grant)

    def _answered(self, playing: Playing, now: float) -> None:
        playing.in_flight = False
        if playing.state is not RunState.RUNNING:
            return
        playing.turns += 1
        playing.requests_left -= 1
        if playing.requests_left > 0:
            self._ask(playing, now)
        else:
            self._end(playing, RunState.OK if playing.ends_well else RunState.FAILED)

    def _end(self, playing: Playing, state: RunState) -> None:
        playing.state = state
        self.ends += 1
        del self._live[playing.run]

    def _at(self, at: float, happen: Callable[[float], None]) -> None:
        heappush(self._events, (at, next(self._order), happen))

    def _lot(self) -> float:
        return self.random.uniform(1 - SPREAD, 1 + SPREAD)
