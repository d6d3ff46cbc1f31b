"""Everybody's schedule, as the roster has them. Pure."""

from collections.abc import Mapping

from scheduler.heartbeats.phases import phases
from scheduler.heartbeats.schedule import Schedule
from scheduler.roster.model import Roster


def timetable(roster: Roster) -> Mapping[str, Schedule]:
    """Agent -> when its heartbeats are due, in the order of the roster."""
    agents = roster.agents.values()
    delays = phases([agent.heartbeat for agent in agents])
    return {
        agent.id: Schedule(agent.heartbeat, roster.timezone, delay)
        for agent, delay in zip(agents, delays, strict=True)
    }
