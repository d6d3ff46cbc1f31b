"""Who is on the team, which rules each follows, and where things are told: what ``agents.yaml`` says.

The rule: a roster is right as a whole, or the start ends with every problem there is, each with its place in
the file. What the rest of the scheduler gets is frozen and complete: nobody else knows of rules that are
inherited, of minutes, or of a file. An agent that the roster does not name follows those of ``development``.
"""

from scheduler.roster.model import (
    Agent,
    AgentClass,
    FeishuTarget,
    LogTarget,
    Missed,
    OpenClawTarget,
    QuietHours,
    Roster,
    Target,
)
from scheduler.roster.read import load_roster, read_roster, reload_roster

__all__ = [
    "Agent",
    "AgentClass",
    "FeishuTarget",
    "LogTarget",
    "Missed",
    "OpenClawTarget",
    "QuietHours",
    "Roster",
    "Target",
    "load_roster",
    "read_roster",
    "reload_roster",
]
