"""What the sidecar says of its budget and of who waits for it, and how many runs that feeds.

The rule: an answer that is not understood is no answer. The two endpoints are read as far as they are known
(fields that a newer sidecar adds do not matter, of those that an older one lacks only the rates do), and
anything else is a CapacityError: the scheduler then goes on by its own limits and says so.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp
from typing import Annotated, Final, TypeVar

import msgspec

DEFAULT_RPM: Final = 4.0
"""Of an agent that nobody has seen at work: a turn with a few tools asks the model about every 15 s."""
LEAST_RPM: Final = 0.5
"""However little was seen: an appetite of nothing would be fed by a spare rate of nothing."""

MEMORY_SECONDS: Final = 300.0
"""Of a run's time; what is older than that counts for a third and less. Agents change with their tasks."""
LONGEST_STEP_SECONDS: Final = 900.0
"""Between two observations. After more (suspend, a sidecar away) nobody knows who ran all the time."""
MOST_AGENTS: Final = 500

ReadTime = Callable[[str], float]
"""An RFC 3339 time as Unix seconds; raises ValueError. Handed in, because calendars are no part of a core."""


class CapacityError(ValueError):
    """The sidecar, or whatever listens in its place, answered something else. The message says where."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """The upstream refuses the sidecar's key; `since` is Unix time."""

    reason: str
    since: float | None


@dataclass(frozen=True, slots=True)
class Capacity:
    """The budget at one moment. Rates in requests per minute, times in Unix seconds."""

    known: bool
    """if not, the rest means nothing, but for `error`"""
    effective_rpm: float = 0.0
    spare_rpm: float = 0.0
    window_used: int = 0
    window_limit: int = 0
    queue_depth: int = 0
    expected_wait_seconds: Mapping[str, float] = field(default_factory=dict)
    """by priority"""
    retreat_state: str = ""
    at_floor: bool | None = None
    """whether it retreats and can go no lower; None: an older sidecar, that does not say"""
    quiet_until: float | None = None
    blocked: Blocked | None = None
    error: str = ""

    @classmethod
    def unknown(cls, error: str) -> "Capacity":
        """Nobody could tell; `error` says why, in words."""
        return cls(known=False, error=error)


@dataclass(frozen=True, slots=True)
class CallerActivity:
    """What one session of one agent has asked the sidecar for since the sidecar's start.

    `agent` is the name that its requests carry, else its session; `session` is what OpenClaw's session
    headers carry, `<session id>:0`, or ''.
    """

    agent: str
    session: str = ""
    queued: int = 0
    in_flight: int = 0
    oldest_wait_seconds: float = 0.0
    last_answer_at: float | None = None
    requests: int = 0
    throttled: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def waits(self) -> bool:
        """It waits for a slot or for an answer: whoever does is not stuck."""
        return self.queued > 0 or self.in_flight > 0


def read_capacity(body: bytes, read_time: ReadTime) -> Capacity:
    """The answer of `GET /api/capacity`. Raises CapacityError."""
    answer = _decode(body, _CapacityAnswer)
    blocked = answer.blocked
    return Capacity(
        known=True,
        effective_rpm=answer.effective_rpm,
        spare_rpm=answer.spare_rpm,
        window_used=answer.window_used,
        window_limit=answer.window_limit,
        queue_depth=answer.queue_depth,
        expected_wait_seconds=answer.expected_wait_seconds,
        retreat_state=answer.retreat_state,
        at_floor=_at_floor(answer.lanes),
        quiet_until=_time(answer.quiet_until, read_time),
        blocked=None if blocked is None else Blocked(blocked.reason, _time(blocked.since, read_time)),
    )


def _at_floor(lanes: Sequence["_LaneAnswer"]) -> bool | None:
    """Of all lanes together; None where none of them says."""
    said = [lane.at_floor for lane in lanes if lane.at_floor is not None]
    return all(said) if said else None


def read_activities(body: bytes, read_time: ReadTime) -> tuple[CallerActivity, ...]:
    """The answer of `GET /api/agents`. Raises CapacityError."""
    return tuple(
        CallerActivity(
            agent=row.agent,
            session=row.session,
            queued=row.queued,
            in_flight=row.in_flight,
            oldest_wait_seconds=row.oldest_wait_seconds,
            last_answer_at=_time(row.last_answer_at, read_time),
            requests=row.requests,
            throttled=row.throttled,
            prompt_tokens=row.prompt_tokens,
            completion_tokens=row.completion_tokens,
        )
        for row in _decode(body, list[_AgentAnswer])
    )


def waiting_agents(activities: Iterable[CallerActivity]) -> Mapping[str, CallerActivity]:
    """By agent, of those that wait in the sidecar; where several sessions do, the one that waits longest."""
    return _waiting(activities, lambda activity: activity.agent)


def waiting_sessions(activities: Iterable[CallerActivity]) -> Mapping[str, CallerActivity]:
    """The same by session id, without the `:0` that OpenClaw appends; nameless sessions are left out."""
    return _waiting(activities, lambda activity: _APPENDED.sub("", activity.session))


def feeds(spare_rpm: float, expected: Sequence[float], *, nothing_runs: bool) -> int:
    """How many further runs of these appetites, in this order, the spare rate feeds.

    Nobody is started past one that is too hungry: small appetites would keep it waiting for ever. For the
    same reason the first may be hungrier than what is spare when `nothing_runs` and one request a minute is.
    """
    fed, sum_rpm = 0, 0.0
    for rpm in expected:
        sum_rpm += rpm
        if sum_rpm > spare_rpm:
            break
        fed += 1
    if not fed and expected and nothing_runs and spare_rpm >= 1:
        return 1
    return fed


class Appetite:
    """How many requests a minute each agent makes while a run of it lives. Owner of its state: the ticker.

    The sidecar counts per session since its start. What the counts of an agent grew by between two
    observations, at both of which it had a run, is a rate; the rates of the last minutes of its runs are
    averaged, the latest counting most. Requests that it makes besides (a person talks to it) count with them.
    """

    def __init__(self) -> None:
        # Of the last observation: when, how many requests per agent and session, who had a run.
        self._at: float | None = None
        self._requests: dict[tuple[str, str], int] = {}
        self._running: frozenset[str] = frozenset()
        self._rpm: dict[str, float] = {}  # by agent, the one learnt last at the end

    def expected_rpm(self, agent: str) -> float:
        """What a run of this agent is expected to need."""
        return max(self._rpm.get(agent, DEFAULT_RPM), LEAST_RPM)

    def observe(
        self, now: float, activities: Sequence[CallerActivity], running_agents: Iterable[str]
    ) -> None:
        """The sidecar's counts at `now`, and who has a run alive."""
        running = frozenset(running_agents)
        ran, self._running = self._running & running, running
        before, self._requests = self._requests, {_key(each): each.requests for each in activities}
        begin, self._at = self._at, now
        if begin is None or not 0 < now - begin <= LONGEST_STEP_SECONDS:
            return
        made: dict[str, int] = {}
        held_back = {each.agent for each in activities if each.queued}
        # An agent without a row is not learnt: its requests do not carry its name.
        for each in activities:
            if each.agent in ran:
                made[each.agent] = made.get(each.agent, 0) + _grown(before.get(_key(each), 0), each.requests)
        for agent, requests in made.items():
            self._learn(agent, requests, now - begin, at_least=agent in held_back)

    def _learn(self, agent: str, requests: int, seconds: float, *, at_least: bool) -> None:
        old = self._rpm.pop(agent, DEFAULT_RPM)
        weight = 1 - exp(-seconds / MEMORY_SECONDS)
        new = old + weight * (requests * 60 / seconds - old)
        # One that is kept waiting asks for less than it would. Learning that as its appetite would start ever
        # more agents the more of them wait.
        self._rpm[agent] = max(new, old) if at_least else new
        if len(self._rpm) > MOST_AGENTS:
            del self._rpm[next(iter(self._rpm))]

    def __repr__(self) -> str:
        rates = ", ".join(f"{agent} {rpm:.1f}" for agent, rpm in self._rpm.items())
        return f"<Appetite, requests per minute: {rates or 'nothing learnt'}>"


_Amount = Annotated[float, msgspec.Meta(ge=0)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _BlockedAnswer(msgspec.Struct):
    reason: str
    since: str | None = None


class _LaneAnswer(msgspec.Struct):
    at_floor: bool | None = None


class _CapacityAnswer(msgspec.Struct):
    effective_rpm: _Amount
    spare_rpm: _Amount
    window_used: _Count = 0
    window_limit: _Count = 0
    queue_depth: _Count = 0
    expected_wait_seconds: dict[str, _Amount] = {}
    retreat_state: str = ""
    lanes: list[_LaneAnswer] = []
    quiet_until: str | None = None
    blocked: _BlockedAnswer | None = None


class _AgentAnswer(msgspec.Struct):
    agent: str
    session: str = ""
    queued: _Count = 0
    in_flight: _Count = 0
    oldest_wait_seconds: _Amount = 0.0
    last_answer_at: str | None = None
    requests: _Count = 0
    throttled: _Count = 0
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0


_T = TypeVar("_T")
_APPENDED: Final = re.compile(r":[0-9]+\Z")


def _decode(body: bytes, shape: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise CapacityError(str(error)) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise CapacityError("this is no JSON") from error


def _time(text: str | None, read_time: ReadTime) -> float | None:
    if text is None:
        return None
    try:
        return read_time(text)
    except ValueError as error:
        raise CapacityError(f"{text[:40]!r} is no RFC 3339 time") from error


def _waiting(
    activities: Iterable[CallerActivity], name: Callable[[CallerActivity], str]
) -> Mapping[str, CallerActivity]:
    waiting = sorted((each for each in activities if each.waits), key=lambda each: each.oldest_wait_seconds)
    return {name(each): each for each in waiting if name(each)}


def _key(activity: CallerActivity) -> tuple[str, str]:
    return activity.agent, activity.session


def _grown(before: int, after: int) -> int:
    """By how many; a count that shrank began anew, with the sidecar or with its row."""
    return after - before if after >= before else after
