"""The scheduler that runs on this machine, asked over HTTP by a command of its own."""

import http.client
import json
from typing import Any, Final

from scheduler.settings import Settings
from shared.addresses import reachable

_MOST_BYTES: Final = 1024 * 1024


class NoDaemonError(Exception):
    """Nobody answers there, or something else does. The message is for people."""


class NotUnderstoodError(NoDaemonError):
    """Something else does."""


def ask(settings: Settings, method: str, path: str, *, seconds: float, token: str = "") -> tuple[int, Any]:
    """The status and the JSON of the answer. Raises NoDaemonError."""
    host = reachable(settings.host)
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    connection = http.client.HTTPConnection(host, settings.port, timeout=seconds)
    try:
        connection.request(method, path, body="{}" if method == "POST" else None, headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read(_MOST_BYTES))
    except (OSError, http.client.HTTPException) as error:
        raise NoDaemonError(f"no scheduler answers on {host}:{settings.port}: {error}") from error
    except ValueError as error:
        raise NotUnderstoodError(f"what answers on {host}:{settings.port} is no scheduler") from error
    finally:
        connection.close()
