"""Single parts, made from the settings and the roster."""

import socket
from collections.abc import Awaitable, Callable

from scheduler.audit.file import FileStore
from scheduler.audit.log import AuditLog
from scheduler.audit.memory import MemoryStore
from scheduler.audit.store import AuditStore
from scheduler.blackboard.audit import BoardAuditStore
from scheduler.blackboard.board import Board
from scheduler.demo import DemoRunner
from scheduler.gateway import Gateway
from scheduler.runs import OpenClawRunner, Runner
from scheduler.settings import Settings
from shared.addresses import http_url
from shared.redaction import Redactor
from shared.serving import address


def audit_log(settings: Settings, board: Board, token: str) -> AuditLog:
    store: AuditStore
    match settings.audit_storage_type:
        case "memory":
            store = MemoryStore()
        case "file":
            store = FileStore(
                settings.audit_log_dir,
                most_bytes=settings.audit_max_file_size,
                most_files=settings.audit_max_files,
            )
        case "database":
            store = BoardAuditStore(board.store)
    redactor = Redactor()
    redactor.add([*settings.secrets, token])
    return AuditLog(
        store,
        redactor,
        batch_size=settings.audit_batch_size,
        flush_seconds=settings.audit_flush_interval,
        retention_days=settings.audit_retention_days,
    )


def runner_of(
    settings: Settings, openclaw: Gateway
) -> tuple[Runner, dict[str, Callable[[], Awaitable[None]]]]:
    """Who plays the agents, and what has to run for that besides."""
    if settings.runner == "demo":
        demo = DemoRunner(settings.sidecar_url)
        return demo, {"demo": demo.run}
    return OpenClawRunner(openclaw), {}


def url_of(port: socket.socket) -> str:
    """Where a run on this machine reaches the API."""
    return http_url(*address(port))
