"""A run's pass to the board: a file that only the account can read, named in the run's prompt.

The agent gets the path, never the token: a prompt is kept in transcripts, and sent to a model.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from scheduler.core.claims import ClaimToken

_PRIVATE: Final = 0o600


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
        draft = path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _PRIVATE)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(ticket, file)
            file.flush()
            os.fsync(fd)
        draft.rename(path)

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
