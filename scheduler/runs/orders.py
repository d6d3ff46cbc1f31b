"""What a run is ordered with, and what whoever runs it can do."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from scheduler.core.sighting import RunRef, Sighting


@dataclass(frozen=True, slots=True)
class Order:
    """A run to start."""

    task_id: str
    epoch: int
    agent: str
    session_key: str
    """the session that this run has to itself"""
    run_id: str
    """the idempotency key"""
    prompt: str
    priority: str
    """`urgent`, `high`, `normal` or `low`"""
    ticket_file: str
    """absolute path; named in the prompt, too"""


class StartState(StrEnum):
    """What became of a start."""

    STARTED = "started"
    """now or earlier; it may have ended meanwhile"""
    UNPROVEN = "unproven"
    """nobody knows: to be repeated under the same key, or given up once a look says that it is absent"""
    GATEWAY_DOWN = "gateway_down"
    """nothing was sent, this time; otherwise as `unproven`"""
    REFUSED = "refused"
    """nothing was started, and nothing will be under this key"""


@dataclass(frozen=True, slots=True)
class StartResult:
    """What became of a start, and why, in words for people."""

    state: StartState
    reason: str = ""


class Runner(Protocol):
    """Where agents run. No method raises because of what the gateway says or does not say."""

    async def start(self, order: Order) -> StartResult:
        """Start it. Repeated with the same keys this starts nothing again."""
        ...

    async def look(self, runs: Sequence[RunRef]) -> Sighting:
        """How these runs stand, and which agents a person talks with."""
        ...

    async def stop(self, session_key: str) -> bool:
        """True: this run provably runs no more, and will not begin again."""
        ...

    async def archive(self, session_key: str, directory: Path) -> bool:
        """Keep an ended run's transcript in `directory`, then put its session away. True: done."""
        ...
