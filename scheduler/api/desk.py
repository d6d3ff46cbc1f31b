"""What the API asks of the daemon it is part of. The daemon's owner implements it; tests have another one."""

from collections.abc import Mapping
from typing import Protocol

from scheduler.audit.record import JSON
from scheduler.blackboard.board import Board


class Record(Protocol):
    """`AuditLog.record`: takes what an audit has to find, without waiting."""

    def __call__(
        self,
        action: str,
        *,
        at: float,
        actor: str,
        subject: str,
        outcome: str = ...,
        details: Mapping[str, JSON] = ...,
    ) -> None:
        """`outcome`: `ok`, or the code of a refusal."""
        ...


class Desk(Protocol):
    """Answers are of this moment, in plain JSON types, times in RFC 3339."""

    board: Board

    def health(self) -> Mapping[str, object]:
        """The components of `/health` but for the database, which is asked then: `{"status", "reason"}` each.

        `status` is `healthy`, `degraded`, `unhealthy` or `unavailable`; `off` where nobody wants it,
        `unknown` where nobody has asked it yet. `sources` holds one component per source.
        """
        ...

    def status(self) -> Mapping[str, object]:
        """Of `/api/daemon/status` what the board does not know."""
        ...

    async def tick(self) -> Mapping[str, object]:
        """Run a tick now, or wait for the one that runs; its report."""
        ...

    def stop_ticking(self) -> None:
        """No further ticks; what runs goes on."""
        ...

    def start_ticking(self) -> None:
        """Tick again."""
        ...

    async def reload(self) -> Mapping[str, JSON]:
        """Read the roster again: how many `agents` it has, their `ids`, and from which `file` they are.

        Raises StartError, and then the old one holds.
        """
        ...

    def board_changed(self) -> None:
        """Something happened that may let something start."""
        ...
