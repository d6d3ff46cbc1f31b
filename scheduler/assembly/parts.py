"""What an assembly begins with, and what it makes."""

import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from scheduler.blackboard.store import Store
from scheduler.settings import Settings
from scheduler.starter import Starter
from scheduler.supervision import Supervisor
from scheduler.team import Team
from scheduler.ticker import Ticker
from shared.asgi import App


@dataclass(frozen=True, slots=True)
class Given:
    """What was there before the daemon: it owns none of it."""

    settings: Settings
    team: Team
    store: Store
    admin_token: str = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)
    """for the commands that it calls; they get what is on a list"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Sockets that listen already."""

    api: socket.socket
    metrics: socket.socket
    bridge: socket.socket | None
    bridge_health: Mapping[str, str]
    """what `/health` says of the alert bridge"""

    @property
    def sockets(self) -> tuple[socket.socket | None, ...]:
        """In the order of `Parts.apps`."""
        return self.api, self.metrics, self.bridge


@dataclass(frozen=True, slots=True)
class Parts:
    """What the task tree runs."""

    supervised: Mapping[str, Callable[[], Awaitable[None]]]
    supervisor: Supervisor
    ticker: Ticker
    starter: Starter
    apps: tuple[App, ...]
    """of the API, the metrics, the alert bridge"""
    last_words: Callable[[], Awaitable[None]]
    """when nothing changes any more: what was said last is told, and written into the audit log"""
    aclose: Callable[[], Awaitable[None]]
