"""What a report says, before it is put into any form."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from scheduler.blackboard.reporting import Beats, Closed, Missing, Used
from scheduler.core.capacity import CallerActivity
from scheduler.core.records import Event
from scheduler.core.states import Status


@dataclass(frozen=True, slots=True)
class Daemon:
    """What only the running scheduler knows."""

    calls_avoided: int
    """since it was started: looks at the board and heartbeats"""
    sources_down: Mapping[str, str] = field(default_factory=dict)
    """name -> why"""
    heartbeats_avoided: int | None = None
    """how many of those were heartbeats; None: it does not say"""

    @property
    def looks_avoided(self) -> int | None:
        """The others."""
        return None if self.heartbeats_avoided is None else self.calls_avoided - self.heartbeats_avoided


@dataclass(frozen=True, slots=True)
class Outside:
    """What does not stand on the board. A text in the place of an answer: why there is none."""

    daemon: Daemon | str
    callers: tuple[CallerActivity, ...] | str
    """at the sidecar, since it was started"""


@dataclass(frozen=True, slots=True)
class OpenTask:
    """A task that somebody or something still has to act on."""

    id: str
    title: str
    status: Status
    agent: str | None
    priority: str
    sentence: str
    """how it stands; without its title"""
    needs_person: bool
    help: str = ""
    """the command that lets it go on, if a person has to"""


@dataclass(frozen=True, slots=True)
class Caller:
    """What one agent asked of the model API, all its sessions together, since the sidecar's start."""

    agent: str
    requests: int
    tokens: int
    throttled: int


@dataclass(frozen=True, slots=True)
class Report:
    """Times in Unix seconds."""

    since: float
    until: float
    counts: Mapping[Status, int]
    closed: Mapping[Status, int]
    last_closed: tuple[Closed, ...]
    open: tuple[OpenTask, ...]
    left_off: int
    """open tasks beyond those"""
    incidents: Mapping[str, int]
    last_incidents: tuple[Event, ...]
    used: tuple[Used, ...]
    beats: tuple[Beats, ...]
    missing: tuple[Missing, ...]
    callers: tuple[Caller, ...] | str
    daemon: Daemon | str

    @property
    def open_count(self) -> int:
        """Those that are left off included."""
        return len(self.open) + self.left_off

    @property
    def for_people(self) -> tuple[OpenTask, ...]:
        """What goes on only if somebody says or does something."""
        return tuple(each for each in self.open if each.needs_person)

    @property
    def beats_avoided(self) -> int:
        """Heartbeats that would have been calls of a model, and were none."""
        return sum(each.avoided for each in self.beats)
