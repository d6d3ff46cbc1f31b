"""A run's pass to the board: a file that only the account can read, named in the run's prompt.

The agent gets the path, never the token: a prompt is kept in transcripts, and sent to a model.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from scheduler.core.claims import ClaimToken
from shared.files import replace_file


class Tickets:
    """The files below `tickets/` of the state directory; the daemon's alone."""

    def __init__(self, directory: Path, url: str) -> None:
        self._directory, self._url = directory, url

    def path(self, run_id: str) -> Path:
        """Where the ticket of this run is, or would be."""
        return self._directory / f"{run_id}.json"

    def write(self, token: ClaimToken, agent: str) -> Path:
        """Blocks. Whole or not at all: an agent may read it the moment it is there. Raises OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.path(f"{token.task}.{token.epoch}")
        self._keep(path, {"url": self._url, "task": token.task, "claim": str(token), "agent": agent})
        return path

    @staticmethod
    def _keep(path: Path, ticket: Mapping[str, object]) -> None:
        replace_file(path, json.dumps(ticket).encode())

    def move_here(self) -> None:
        """Blocks. The runs of the process before this one find this one, if it listens elsewhere."""
        for path in self._directory.glob("*.json"):
            with suppress(OSError, ValueError, TypeError):  # not one of ours, or gone: nobody's pass
                ticket = json.loads(path.read_text(encoding="utf-8"))
                if isinstance(ticket, dict) and ticket.get("url") != self._url:
                    self._keep(path, {**ticket, "url": self._url})

    def remove(self, run_id: str) -> None:
        """The run is over. Blocks; one that is not there is fine."""
        self.path(run_id).unlink(missing_ok=True)
