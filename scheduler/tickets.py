"""A run's pass to the board: a file that only the account can read, named in the run's prompt.

The agent gets the path, never the token: a prompt is kept in transcripts, and sent to a model.
"""

import json
import os
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
        ticket = {"url": self._url, "task": token.task, "claim": str(token), "agent": agent}
        draft = path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _PRIVATE)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(ticket, file)
            file.flush()
            os.fsync(fd)
        draft.rename(path)
        return path

    def remove(self, run_id: str) -> None:
        """The run is over. Blocks; one that is not there is fine."""
        self.path(run_id).unlink(missing_ok=True)
