"""Which of OpenClaw's automations start turns that the scheduler is to decide about.

Measured on 2026.9.6: `agentTurn` is a turn, `systemEvent` one where it wakes its agent at once; a command or
a script calls no model. What OpenClaw declares itself it would make again.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from scheduler.core.openclaw.tree import Json, as_object

_OPENCLAWS_OWN: Final = ("heartbeat:", "skill-collection-review:", "memory-core:")


@dataclass(frozen=True, slots=True)
class Automation:
    """One that is to be disabled."""

    id: str
    name: str
    agent: str
    schedule: str


def to_disable(job: Mapping[str, Json], keep: Collection[str]) -> Automation | str | None:
    """The automation, or why it stays though it starts turns; None if it starts none, or is meant to stay."""
    name, id_ = str(job.get("name") or job.get("id")), str(job.get("id"))
    if job.get("enabled") is not True or not _starts_turns(job) or {name, id_} & set(keep):
        return None
    schedule = as_object(job.get("schedule"))
    if str(job.get("declarationKey") or "").startswith(_OPENCLAWS_OWN):
        return f"{name}: OpenClaw's own"
    if schedule.get("kind") == "at":
        return f"{name}: comes once, as somebody asked"
    agent = str(job.get("effectiveAgentId") or job.get("agentId") or "?")
    return Automation(id_, name, agent, _words(schedule))


def _starts_turns(job: Mapping[str, Json]) -> bool:
    kind = as_object(job.get("payload")).get("kind")
    return kind == "agentTurn" or (kind == "systemEvent" and job.get("wakeMode") == "now")


def _words(schedule: Mapping[str, Json]) -> str:
    every = schedule.get("everyMs")
    if isinstance(every, int):
        minutes, rest = divmod(every, 60_000)
        return f"every {every / 1000:g} s" if rest else f"every {minutes} min"
    return str(schedule.get("expr") or schedule.get("kind") or "?")
