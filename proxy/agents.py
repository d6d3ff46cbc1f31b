"""Who asks for what: a row per agent and session, so that others can tell waiting from stalling."""

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

MOST_ROWS: Final = 500


@dataclass(slots=True)
class AgentRow:
    """One agent's session since the start. Times on Trio's clock, but `last_answer_at`: Unix time."""

    agent: str
    session: str
    waiting_since: dict[str, float] = field(default_factory=dict)
    """By request: those that wait for a slot or for another attempt."""
    in_flight: int = 0
    last_answer_at: float | None = None
    requests: int = 0
    throttled: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def is_idle(self) -> bool:
        """Nothing of it waits or is under way."""
        return not self.waiting_since and not self.in_flight


class Agents:
    """The rows, the one used last at the end. Owner: the handler."""

    def __init__(self) -> None:
        self._rows: OrderedDict[tuple[str, str], AgentRow] = OrderedDict()

    def row(self, agent: str, session: str) -> AgentRow:
        """The agent's row, made if need be; where there are too many the oldest idle ones are dropped."""
        key = (agent, session)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = AgentRow(agent, session)
            if len(self._rows) > MOST_ROWS:
                self._drop_oldest_idle(len(self._rows) - MOST_ROWS, kept=key)
        self._rows.move_to_end(key)
        return row

    @property
    def in_flight(self) -> int:
        """Requests that are with the upstream now."""
        return sum(row.in_flight for row in self._rows.values())

    def rows(self) -> list[AgentRow]:
        """At most MOST_ROWS, the one used last first."""
        return list(reversed(self._rows.values()))[:MOST_ROWS]

    def _drop_oldest_idle(self, excess: int, *, kept: tuple[str, str]) -> None:
        idle = (key for key, row in self._rows.items() if row.is_idle and key != kept)
        for key in list(islice(idle, excess)):
            del self._rows[key]
