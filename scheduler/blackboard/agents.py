"""What the board remembers of agents: pauses, and how long their runs take."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, select, text

from scheduler.blackboard.rows import storable
from scheduler.blackboard.tables import agents
from scheduler.core.snapshot import AgentRecord

_RECORDS: Final = select(agents.c.agent, agents.c.paused_until, agents.c.run_seconds)
_PAUSE: Final = text(
    "INSERT INTO agents (agent, paused_until, paused_by, paused_at) VALUES (:agent, :until, :who, :now) "
    "ON CONFLICT (agent) DO UPDATE SET paused_until = excluded.paused_until, "
    "paused_by = excluded.paused_by, paused_at = excluded.paused_at"
)
_REMEMBER: Final = text(
    "INSERT INTO agents (agent, run_seconds) VALUES (:agent, :run_seconds) "
    "ON CONFLICT (agent) DO UPDATE SET run_seconds = excluded.run_seconds"
)


def records(connection: Connection) -> Mapping[str, AgentRecord]:
    return {row[0]: AgentRecord(*row) for row in connection.execute(_RECORDS)}


def pause(connection: Connection, agent: str, until: float | None, who: str, now: float) -> None:
    """Raises Refused (`invalid`) for a name that no database keeps."""
    connection.execute(_PAUSE, storable({"agent": agent, "until": until, "who": who, "now": now}))


def remember_run_seconds(connection: Connection, agent: str, seconds: float) -> None:
    connection.execute(_REMEMBER, storable({"agent": agent, "run_seconds": seconds}))
