"""The board of a simulated day: a copy of the configured one, or a new one; gone when the day is over."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Final

from scheduler.blackboard.backup import backup
from scheduler.blackboard.database import sqlite_path
from scheduler.blackboard.queries import MOST_TASKS, TaskQuery
from scheduler.blackboard.store import Store
from scheduler.core.states import OPEN, Status
from scheduler.core.task import Task
from scheduler.settings import Settings

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a directory of our own is made in it
"""A file system in memory, where there is one: thousands of syncs cost nothing there."""
_ROOM_BYTES: Final = 256 * 1024 * 1024
_GROWTH: Final = 8
_OPEN: Final = tuple(status for status in Status if status in OPEN)


@dataclass(frozen=True, slots=True)
class Copied:
    """`origin`: what was copied; None: a new board. `open`: its tasks that are not over."""

    store: Store
    directory: Path
    origin: Path | None
    open: tuple[Task, ...]
    note: str


@contextmanager
def board_for(settings: Settings) -> Iterator[Copied]:
    """For one day. Raises BoardError where the configured board cannot be copied."""
    source = sqlite_path(settings.effective_database_url)
    note = ""
    if source is None:
        note = "The configured board is in PostgreSQL, which is not copied."
    elif not source.exists():
        source, note = None, "There is no board to copy yet."
    with TemporaryDirectory(prefix="clawpace-", dir=_place(source)) as name:
        directory = Path(name)
        copy = directory / "board.db"
        if source is not None:
            backup(settings.effective_database_url, copy)
        high_risk = settings.high_risk_tools if settings.require_approval_for_high_risk else ()
        store = Store.open(f"sqlite:///{copy}", artifacts=directory / "artifacts", high_risk=high_risk)
        try:
            yield Copied(store, directory, source, every_task(store, _OPEN), note)
        finally:
            store.close()


def _place(source: Path | None) -> str:
    needed = _ROOM_BYTES + (_GROWTH * source.stat().st_size if source is not None else 0)
    if os.access(_MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(_MEMORY).free > needed:
        return str(_MEMORY)
    return gettempdir()


def every_task(store: Store, statuses: tuple[Status, ...]) -> tuple[Task, ...]:
    """In one of these states, archived or not."""
    found: list[Task] = []
    cursor = None
    while True:
        page = store.tasks(TaskQuery(statuses, archived=True, limit=MOST_TASKS, cursor=cursor))
        found += page.tasks
        if (cursor := page.next_cursor) is None:
            return tuple(found)
