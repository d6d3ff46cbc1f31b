"""From what the file says to what holds: classes over the documented ones, agents over their classes."""

from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from pydantic import SecretStr

from scheduler.roster.file import AgentEntry, RosterFile, RulesEntry, TargetEntry
from scheduler.roster.model import (
    CLASSES,
    DEFAULT_CLASS,
    Agent,
    AgentClass,
    FeishuTarget,
    LogTarget,
    Missed,
    OpenClawTarget,
    Roster,
    Target,
    agent_of,
)
from scheduler.roster.values import webhook

_SECONDS_PER_MINUTE: Final = 60.0


def complete(file: RosterFile) -> Roster:
    """The roster. An agent of an unknown class is left out of it: ``rules`` tells of it."""
    # What a class does not say is as documented for it, or for ``development`` if it is a new one.
    changed = {
        name: replace(CLASSES.get(name, CLASSES[DEFAULT_CLASS]), **_own_rules(entry))
        for name, entry in file.classes.items()
    }
    classes = {**CLASSES, **changed}
    agents = {
        agent_id: _agent(agent_id, entry, classes[entry.class_name], file.missed)
        for agent_id, entry in file.agents.items()
        if entry.class_name in classes
    }
    return Roster(
        agents=MappingProxyType(agents),
        classes=MappingProxyType(classes),
        notify=MappingProxyType({name: _target(entry) for name, entry in file.notify.items()}),
        commands=MappingProxyType(dict(file.commands)),
        timezone=file.timezone,
        missed=file.missed,
        quiet_hours=file.quiet_hours,
        report_at_minute=file.report_at,
        report_to=file.report_to,
    )


def _own_rules(entry: RulesEntry) -> dict[str, Any]:
    rules: dict[str, object] = {
        "heartbeat": entry.heartbeat,
        "suspect_after_seconds": _seconds(entry.suspect_after_minutes),
        "recover_after_seconds": _seconds(entry.recover_after_minutes),
        "dependency_wait_seconds": _seconds(entry.dependency_wait_minutes),
        "max_turns": entry.max_turns,
        "notify": entry.notify,
    }
    return {name: value for name, value in rules.items() if value is not None}


def _seconds(minutes: float | None) -> float | None:
    return None if minutes is None else minutes * _SECONDS_PER_MINUTE


def _agent(agent_id: str, entry: AgentEntry, rules: AgentClass, missed: Missed) -> Agent:
    return replace(
        agent_of(agent_id, entry.class_name, rules, missed=entry.missed or missed),
        label=entry.label or agent_id,
        multica_id=entry.multica_id,
        checks=entry.checks,
        checks_every_seconds=entry.checks_every,
        todo_files=entry.todo_files,
        **_own_rules(entry),
    )


def _target(entry: TargetEntry) -> Target:
    match entry:
        case TargetEntry(kind="openclaw", channel=str(channel), target=str(target)):
            return OpenClawTarget(channel, target)
        case TargetEntry(kind="feishu"):
            address = entry.webhook or (
                webhook(entry.webhook_file.key) if entry.webhook_file else SecretStr("")
            )
            return FeishuTarget(address, entry.secret_file.key if entry.secret_file else entry.secret)
        case _:
            return LogTarget()
