"""Whether OpenClaw knows the board's tools, and what they are called there.

OpenClaw calls a tool `SERVER__tool`, after the name that its configuration gives the server. Since 2026.9 it
shows a model neither the names nor the descriptions of such tools (its "tool search"): an agent that is not
told of them does not know that it has them. So whoever tells it has to know.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
import trio

from scheduler.core.openclaw.tree import as_object
from scheduler.gateway import Gateway, OpenClawError

KNOWN_FOR_SECONDS: Final = 300.0
"""A question to the gateway costs a second of a core, and configurations change once in months."""
UNKNOWN_FOR_SECONDS: Final = 60.0
"""After one that was not answered."""
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,29}")
"""What OpenClaw puts in front of a tool as it is; it changes other names."""
_HERE: Final = frozenset({"127.0.0.1", "localhost", "::1"})

_log = structlog.get_logger()


class Registered:
    """Owner of what was last seen in the gateway's configuration."""

    def __init__(self, gateway: Gateway, url: str) -> None:
        """`url`: where the board's tools are served, with its path."""
        self._gateway, self._url = gateway, url
        # Changed by `prefix`.
        self._prefix = ""
        self._known_until = float("-inf")

    async def prefix(self) -> str:
        """`board__`, or '' where the tools are not registered, or nobody says so."""
        now = trio.current_time()
        if now < self._known_until:
            return self._prefix
        try:
            answer = await self._gateway.call("config.get", {})
        except OpenClawError as error:
            _log.warning("mcp_registration_unknown", error=str(error))
            self._known_until = trio.current_time() + UNKNOWN_FOR_SECONDS
        else:
            self._prefix = prefix_in(as_object(answer.get("config")), self._url)
            self._known_until = trio.current_time() + KNOWN_FOR_SECONDS
        return self._prefix

    def __repr__(self) -> str:
        return f"<Registered, as {self._prefix or 'nothing'}>"


def prefix_in(config: Mapping[str, Any], url: str) -> str:
    """By a configuration of OpenClaw's, of which nothing is taken for granted."""
    denied = as_object(config.get("tools")).get("deny")
    names = [name for name in denied if isinstance(name, str)] if isinstance(denied, list) else []
    for name, server in as_object(as_object(config.get("mcp")).get("servers")).items():
        of_all = {"bundle-mcp", f"{name}__*", "*"}
        if _NAME.fullmatch(name) and _leads_to(as_object(server), url) and not of_all.intersection(names):
            return f"{name}__"
    return ""


def _leads_to(server: Mapping[str, Any], url: str) -> bool:
    if server.get("enabled") is False:
        return False
    if isinstance(address := server.get("url"), str):
        return _place(address) == _place(url)
    command, args = server.get("command"), server.get("args")
    return (
        isinstance(command, str)
        and command.rpartition("/")[2] == "blackboard"
        and isinstance(args, list)
        and "mcp" in args
    )


def _place(url: str) -> tuple[str, int | None, str] | None:
    """All names of this machine are one."""
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname or ""
        return ("here" if host in _HERE else host, parts.port, parts.path.rstrip("/"))
    except ValueError:
        return None
