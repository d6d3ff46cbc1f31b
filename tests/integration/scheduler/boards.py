"""The three boards that every test of the board's rules runs on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from scheduler.blackboard.store import Store
from tests.blackboard_model import ModelStore

AnyStore: TypeAlias = Store | ModelStore
HIGH_RISK = ("delete_file", "execute_code")

Opener: TypeAlias = Callable[[Path], AnyStore]


def sqlite_url(directory: Path) -> str:
    return f"sqlite:///{directory}/state/blackboard.db"


@contextmanager
def opened(url: str, directory: Path, *, busy_seconds: float = 10.0, create: bool = True) -> Iterator[Store]:
    """A board for one block."""
    store = Store.open(
        url,
        artifacts=directory / "artifacts",
        busy_seconds=busy_seconds,
        create=create,
        high_risk=HIGH_RISK,
    )
    try:
        yield store
    finally:
        store.close()
