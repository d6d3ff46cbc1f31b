"""The team in figures: what lies where, who carried how much, what everybody does now.

The rule: they come from the board alone, and no model is asked for any of them. They are for whoever wants to
know: a report, the tasks that become of checks of the whole team. Times are Unix seconds.

`BoardFacts` is what the board counts (`blackboard.figures.facts`), `figures` makes of it one `AgentFigures`
per agent, and `as_table` puts those into words.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from scheduler.core.durations import in_words
from scheduler.core.snapshot import EVERYBODY
from scheduler.core.states import OPEN, Status


@dataclass(frozen=True, slots=True)
class Pile:
    """The open tasks of one state with one agent."""

    agent: str | None
    """who holds them, else to whom they are assigned; None: nobody"""
    status: Status
    count: int
    oldest_at: float
    """since when the oldest of them has waited, or been there"""


@dataclass(frozen=True, slots=True)
class Holding:
    """A task that an agent works on."""

    agent: str
    task: str
    suspect: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """The runs of one agent that began in the time."""

    agent: str
    runs: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Reason:
    """Why pending tasks of one agent wait; None: nobody has said yet."""

    agent: str
    because: str | None
    count: int


@dataclass(frozen=True, slots=True)
class BoardFacts:
    """What the board counts, at one moment."""

    piles: tuple[Pile, ...] = ()
    holdings: tuple[Holding, ...] = ()
    loads: tuple[Load, ...] = ()
    reasons: tuple[Reason, ...] = ()
    paused_until: Mapping[str, float] = field(default_factory=dict)
    """agent, or `*` -> when its pause ends"""


class Doing(StrEnum):
    """What an agent does. Of several that are true, the first."""

    SUSPECT = "suspect"
    """works on something, and it may be stuck"""
    WORKING = "working"
    PAUSED = "paused"
    STALE = "stale"
    """had no heartbeat for two periods: nobody looks for its work"""
    WAITING = "waiting"
    """has tasks that are to start"""
    BLOCKED = "blocked"
    """all that it has waits for somebody else"""
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class AgentFigures:
    """One agent, or what is nobody's."""

    agent: str | None
    """None: tasks that nobody is assigned to"""
    label: str
    doing: Doing
    tasks: tuple[str, ...] = ()
    """that it works on"""
    because: str = ""
    """why the first of its pending tasks waits, where somebody has said so"""
    backlog: Mapping[Status, int] = field(default_factory=dict)
    """open tasks by state; states without any are missing"""
    waiting_since: float | None = None
    """of its oldest pending task"""
    runs: int = 0
    """that began in the time"""
    run_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Everybody: the team in its order, then whoever else has tasks, then what is nobody's."""

    at: float
    since: float
    """runs that began before are not counted"""
    agents: tuple[AgentFigures, ...]

    @property
    def backlog(self) -> Mapping[Status, int]:
        """Open tasks of everybody, by state; each state is there."""
        found = Counter[Status]()
        for each in self.agents:
            found.update(each.backlog)
        return {status: found[status] for status in Status if status in OPEN}


def figures(
    facts: BoardFacts, team: Mapping[str, str], stale: Collection[str], *, since: float, now: float
) -> Figures:
    """`team`: agent -> label, in its order. `stale`: whose heartbeats have stopped."""
    piles: defaultdict[str | None, list[Pile]] = defaultdict(list)
    for pile in facts.piles:
        piles[pile.agent].append(pile)
    seen = {*piles, *(each.agent for each in facts.loads)} - team.keys()
    others = sorted(each for each in seen if each is not None)
    agents = [
        _one(agent, team.get(agent, agent), piles.get(agent, ()), facts, stale=agent in stale, now=now)
        for agent in (*team, *others)
    ]
    if None in piles:
        agents.append(_one(None, "", piles[None], facts, stale=False, now=now))
    return Figures(now, since, tuple(agents))


def _one(
    agent: str | None, label: str, piles: Collection[Pile], facts: BoardFacts, *, stale: bool, now: float
) -> AgentFigures:
    load = next((each for each in facts.loads if each.agent == agent), None)
    backlog = {pile.status: pile.count for pile in piles}
    holdings = [each for each in facts.holdings if each.agent == agent]
    paused = any(facts.paused_until.get(name, now) > now for name in (agent, EVERYBODY) if name)
    return AgentFigures(
        agent=agent,
        label=label,
        doing=_doing(holdings, backlog, paused=paused, stale=stale),
        tasks=tuple(each.task for each in holdings),
        because=_because(each for each in facts.reasons if each.agent == agent),
        backlog=backlog,
        waiting_since=min((pile.oldest_at for pile in piles if pile.status is Status.PENDING), default=None),
        runs=load.runs if load else 0,
        run_seconds=load.seconds if load else 0.0,
    )


def _doing(
    holdings: Collection[Holding], backlog: Mapping[Status, int], *, paused: bool, stale: bool
) -> Doing:
    found = {
        Doing.SUSPECT: any(each.suspect for each in holdings),
        Doing.WORKING: bool(holdings),
        Doing.PAUSED: paused,
        Doing.STALE: stale,
        Doing.WAITING: Status.PENDING in backlog,
        Doing.BLOCKED: Status.BLOCKED in backlog,
    }
    return next((doing for doing, is_so in found.items() if is_so), Doing.IDLE)


_IN_LINE: Final = "in line for "
"""The words of `dispatch` for those behind the first: why that one waits is why they do."""

_NOTHING_STARTS: Final = (
    "all agents are paused",
    "OpenClaw's gateway does not answer",
    "the model API is blocked",
    "the model API asks for a quiet period",
    "a person talks with ",
)


def _because(reasons: Iterable[Reason]) -> str:
    known = [each.because for each in reasons if each.because]
    return min((each for each in known if not each.startswith(_IN_LINE)), default="")


def deferred(reasons: Collection[str | None]) -> int:
    """How many of an agent's pending tasks wait because it, or nobody, may be started now.

    `reasons` are the words of `dispatch`, one for each task. Those in line behind one that waits for such a
    reason wait for it, too.
    """
    words = [each for each in reasons if each]
    held_back = [each for each in words if each.startswith(_NOTHING_STARTS) or each.endswith(" is paused")]
    behind = [each for each in words if each.startswith(_IN_LINE)]
    return len(held_back) + len(behind) if held_back else 0


def why_deferred(reasons: Collection[str | None]) -> str:
    """The first of those reasons; '' where there is none."""
    return next((each for each in reasons if each and deferred([each])), "")


def as_table(found: Figures) -> str:
    """In Markdown, for a task's description or a report."""
    hours = (found.at - found.since) / 3600
    heads = (
        "Agent",
        "State",
        "Pending",
        "At work",
        "In review",
        "Blocked",
        "Waiting for",
        "Runs",
        "Run time",
    )
    rows = [heads, tuple("---" for _ in heads), *(_row(each, found.at) for each in found.agents)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    total = ", ".join(f"{count} {status}" for status, count in found.backlog.items() if count)
    return "\n".join(
        [*lines, "", f"Open in all: {total or 'nothing'}. Runs are those of the last {hours:.0f} hours."]
    )


def _row(each: AgentFigures, now: float) -> tuple[str, ...]:
    count = each.backlog.get
    return (
        _name(each),
        _cell(_state(each)),
        str(count(Status.PENDING, 0)),
        str(count(Status.CLAIMED, 0) + count(Status.WORKING, 0)),
        str(count(Status.REVIEW, 0)),
        str(count(Status.BLOCKED, 0)),
        "-" if each.waiting_since is None else in_words(now - each.waiting_since),
        str(each.runs),
        in_words(each.run_seconds),
    )


def _name(each: AgentFigures) -> str:
    if each.agent is None:
        return "nobody's"
    return each.agent if each.label == each.agent else _cell(f"{each.agent} ({each.label})")


def _state(each: AgentFigures) -> str:
    if each.agent is None:
        return "-"
    if each.tasks:
        return f"{each.doing}: {', '.join(each.tasks)}"
    if each.doing is Doing.WAITING and each.because:
        return f"{each.doing}: {each.because}"
    return str(each.doing)


def _cell(text: str) -> str:
    """Foreign text must not end a cell, or a row."""
    return " ".join(text.split()).replace("|", "\\|")
