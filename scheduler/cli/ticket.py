"""A ticket: what the daemon writes for a run, so that its agent can write to the board and nowhere else."""

import json
import os
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scheduler.cli.told import wrong_usage

_MOST_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Ticket:
    """Address, task, claim token, agent."""

    url: str
    task: str
    claim: str = field(repr=False)
    agent: str


def read_ticket(file: Path) -> Ticket:
    """Raises ToldError for what is no ticket. That others may read it is only a warning: the run goes on."""
    try:
        # Not blocking: a named pipe in the place of a ticket must not hold an agent up.
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise wrong_usage(f"cannot read the ticket {file}: {error.strerror}") from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise wrong_usage(f"the ticket {file} is not a regular file")
        content = os.read(fd, _MOST_BYTES + 1)
    finally:
        os.close(fd)
    if stat.S_IMODE(status.st_mode) & 0o077:
        print(  # noqa: T201 - stdout belongs to the answer, this is for whoever wrote the file
            f"warning: others may read the ticket {file}: chmod 600 {file}", file=sys.stderr
        )
    try:
        members = json.loads(content) if len(content) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        members = None
    names = ("url", "task", "claim", "agent")
    if not isinstance(members, dict) or not all(isinstance(members.get(name), str) for name in names):
        raise wrong_usage(f"{file} is no ticket: it needs the texts {', '.join(names)} in a JSON object")
    return Ticket(*(members[name] for name in names))
