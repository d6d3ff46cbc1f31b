"""Everything that a plan is made of, as it is now. Nothing is changed by looking."""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from scheduler.core.openclaw.plan import Known
from scheduler.core.openclaw.tree import Json
from scheduler.gateway import GatewayError
from scheduler.openclaw_setup.openclaw import Configuration, OpenClaw
from shared.errors import StartError

_NO_GATEWAY = (
    "OpenClaw's gateway does not run, so its automations cannot be seen; those that start turns would stay. "
    "Start it and plan again"
)


@dataclass(frozen=True, slots=True)
class Seen:
    """One look. `original` is the file's content, `mode` its permission."""

    file: Path
    original: bytes
    mode: int
    configuration: Configuration
    agents: Sequence[Known]
    jobs: Sequence[Mapping[str, Json]]
    offered: Mapping[str, Json]
    notes: tuple[str, ...]


async def look(openclaw: OpenClaw) -> Seen:
    """Raises OpenClawError, StartError."""
    file = await openclaw.file()
    # Before the rest: what it says by the time of the change is compared with this.
    original, mode = await trio.to_thread.run_sync(read, file)
    configuration = await openclaw.configuration()
    agents = await openclaw.agents()
    jobs: Sequence[Mapping[str, Json]] = ()
    offered: Mapping[str, Json] = {}
    if configuration.gateway_runs:
        jobs = await openclaw.jobs()
        try:
            offered = await openclaw.offered(agents[0].id) if agents else {}
        except GatewayError:  # a catalogue that cannot be had is no reason to stop
            offered = {}
    notes = () if configuration.gateway_runs else (_NO_GATEWAY,)
    return Seen(file, original, mode, configuration, agents, jobs, offered, notes)


def read(file: Path) -> tuple[bytes, int]:
    """Content and permission, of the same file. Blocks. Raises StartError."""
    try:
        with file.open("rb") as opened:
            return opened.read(), stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
    except OSError as error:
        raise StartError(
            f"OpenClaw's configuration {file} cannot be read: {error.strerror}; `openclaw onboard` makes one"
        ) from error
