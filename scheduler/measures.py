"""What agents are measured by, as the settings and the roster have it: the rules of the core."""

from scheduler.core.rules import AgentRules, Rules
from scheduler.roster import Agent, Roster
from scheduler.settings import Settings


def rules_of(settings: Settings, roster: Roster) -> Rules:
    """Everybody's. An agent that the roster does not name follows those of the class `development`."""
    return Rules(
        max_concurrent=settings.max_concurrent_agents,
        run_timeout=settings.run_timeout,
        agents={agent.id: _measures(agent) for agent in roster.agents.values()},
        otherwise=_measures(roster.rules_for("")),
    )


def _measures(agent: Agent) -> AgentRules:
    return AgentRules(
        suspect_after=agent.suspect_after_seconds,
        recover_after=agent.recover_after_seconds,
        dependency_wait_after=agent.dependency_wait_seconds,
        max_turns=agent.max_turns,
        notify=agent.notify,
    )
