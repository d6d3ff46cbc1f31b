"""What does not stand on the board, asked of the neighbours by a command of its own process.

The rule: a report does not fail because somebody does not answer; it says so instead.
"""

from collections.abc import Mapping
from typing import Any, Final

import trio

from scheduler import running_daemon
from scheduler.report.model import Daemon, Outside
from scheduler.settings import Settings
from scheduler.sidecar import Sidecar

ANSWER_SECONDS: Final = 7.0
"""The daemon waits five for its database before it says how it is."""
_NOT_DOWN: Final = frozenset({"healthy", "off", "unknown"})
"""As `/health` counts: what nobody has asked yet is not ill."""


def ask(settings: Settings) -> Outside:
    """The scheduler and the sidecar that the settings name. Takes seconds where somebody is silent."""
    return Outside(_daemon(settings), trio.run(_callers, settings.sidecar_url))


async def _callers(url: str) -> Any:
    sidecar = Sidecar(url or None)
    try:
        view = await sidecar.look()
    finally:
        await sidecar.aclose()
    return view.activities if view.capacity.known else view.capacity.error


def _daemon(settings: Settings) -> Daemon | str:
    try:
        _, status = running_daemon.ask(settings, "GET", "/api/daemon/status", seconds=ANSWER_SECONDS)
        _, health = running_daemon.ask(settings, "GET", "/health", seconds=ANSWER_SECONDS)
        return daemon_of(status, health)
    except running_daemon.NotUnderstoodError:
        return "what answers in the scheduler's place is not understood"
    except running_daemon.NoDaemonError:
        return "the scheduler does not answer"
    except (ValueError, LookupError, TypeError, AttributeError):
        return "what answers in the scheduler's place is not understood"


def daemon_of(status: Mapping[str, Any], health: Mapping[str, Any]) -> Daemon:
    """From the two answers; raises what a wrong shape raises."""
    sources = health["components"].get("sources", {})
    down = {
        str(name): str(each.get("reason") or each["status"])
        for name, each in sources.items()
        if each["status"] not in _NOT_DOWN
    }
    return Daemon(int(status["calls_avoided"]), down, status.get("heartbeats_avoided"))
