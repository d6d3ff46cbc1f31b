"""The roster as the scheduler knows it: plain frozen data, times in seconds, every rule filled in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import SecretStr

from scheduler.core.notices import CREATOR

Missed = Literal["skip", "run_once", "run_all"]
"""What becomes of heartbeats that were due while nobody was there to see to them."""

DEFAULT_CLASS: Final = "development"
DEFAULT_TARGET: Final = "default"


@dataclass(frozen=True, slots=True)
class AgentClass:
    """The rules that its agents follow where they have none of their own."""

    heartbeat: str
    """Cron expression, five fields, in the roster's time zone."""
    suspect_after_seconds: float
    """Without progress for so long: marked, told, nothing else."""
    recover_after_seconds: float
    """Without progress for so long: the run is stopped and the task given back."""
    dependency_wait_seconds: float
    """A dependency that takes longer is asked after, once."""
    max_turns: int
    notify: tuple[str, ...]
    """Who hears of recoveries and limits: names of targets, and ``creator``."""


_MINUTE: Final = 60.0
_HOUR: Final = 60 * _MINUTE

# The documented rules, which stand also where the file has no classes.
CLASSES: Final[Mapping[str, AgentClass]] = {
    "frequent": AgentClass("*/10 * * * *", 20 * _MINUTE, 30 * _MINUTE, 1 * _HOUR, 50, ("coo",)),
    "development": AgentClass("*/15 * * * *", 30 * _MINUTE, 45 * _MINUTE, 2 * _HOUR, 100, ("coo", CREATOR)),
    "business": AgentClass("*/15 * * * *", 30 * _MINUTE, 45 * _MINUTE, 2 * _HOUR, 30, (CREATOR,)),
}


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent with the rules that hold for it: its own, else its class's."""

    id: str
    label: str
    """What people call it; its id where nobody said."""
    class_name: str
    multica_id: str | None
    heartbeat: str
    suspect_after_seconds: float
    recover_after_seconds: float
    dependency_wait_seconds: float
    max_turns: int
    notify: tuple[str, ...]
    checks: tuple[str, ...]
    """What it looks after when nobody asks."""
    checks_every_seconds: float | None
    """How often its checks become a task; None: never."""
    todo_files: tuple[str, ...]
    """Patterns of the to-do documents that hold its work."""
    missed: Missed


@dataclass(frozen=True, slots=True)
class LogTarget:
    """Told in the log."""


@dataclass(frozen=True, slots=True)
class OpenClawTarget:
    """Told through one of OpenClaw's channels, by ``openclaw message send``."""

    channel: str
    target: str


@dataclass(frozen=True, slots=True)
class FeishuTarget:
    """Told to a group by its custom bot. The address is as good as a key; an empty secret signs nothing."""

    webhook: SecretStr
    secret: SecretStr


Target = LogTarget | OpenClawTarget | FeishuTarget


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From when to when only urgent messages are sent, in minutes of the day; it may pass midnight."""

    start_minute: int
    end_minute: int


@dataclass(frozen=True, slots=True)
class Roster:
    """The team. ``agents`` are those that have heartbeats, in the order of the file."""

    agents: Mapping[str, Agent]
    classes: Mapping[str, AgentClass]
    notify: Mapping[str, Target]
    commands: Mapping[str, tuple[str, ...]]
    """What ``expects`` may run, by name: argument lists."""
    timezone: str
    missed: Missed
    quiet_hours: QuietHours | None
    report_at_minute: int | None
    """Minute of the day at which the report is sent; None: never."""
    report_to: tuple[str, ...]

    def rules_for(self, agent_id: str) -> Agent:
        """This agent; for one that the roster does not name, an agent of the class ``development``."""
        known = self.agents.get(agent_id)
        return known or agent_of(agent_id, DEFAULT_CLASS, self.classes[DEFAULT_CLASS], missed=self.missed)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must stand in no log line."""
        bots = [each for each in self.notify.values() if isinstance(each, FeishuTarget)]
        return tuple(key.get_secret_value() for bot in bots for key in (bot.webhook, bot.secret))

    def target(self, name: str) -> Target:
        """Where this name is told things: its own target, else ``default``, else the log."""
        return self.notify.get(name) or self.notify.get(DEFAULT_TARGET) or LogTarget()


def agent_of(agent_id: str, class_name: str, rules: AgentClass, *, missed: Missed) -> Agent:
    """One of this class, of whom nothing else is known."""
    return Agent(
        id=agent_id,
        label=agent_id,
        class_name=class_name,
        multica_id=None,
        heartbeat=rules.heartbeat,
        suspect_after_seconds=rules.suspect_after_seconds,
        recover_after_seconds=rules.recover_after_seconds,
        dependency_wait_seconds=rules.dependency_wait_seconds,
        max_turns=rules.max_turns,
        notify=rules.notify,
        checks=(),
        checks_every_seconds=None,
        todo_files=(),
        missed=missed,
    )
