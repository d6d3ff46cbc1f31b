"""Prints the table in `docs/sources.md`: `python -m tests.core.scheduler.sources_table`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scheduler.core.exchange.following import TABLE, Follow
from scheduler.core.exchange.items import Stage

FILE: Final = Path(__file__).resolve().parents[3] / "docs" / "sources.md"

MOVED: Final = {
    Stage.TODO: "to be taken up",
    Stage.WAITING: "set aside",
    Stage.IN_PROGRESS: "in progress",
    Stage.BLOCKED: "blocked",
    Stage.DONE: "done",
    Stage.GONE: "gone",
}
MEANS: Final = {
    Follow.AGREE: "stays as it is",
    Follow.TELL: "stays; the source is told again",
    Follow.HOLD: "is blocked; its run ends",
    Follow.FREE: "goes on",
    Follow.RETRY: "is tried again",
    Follow.WITHDRAW: "fails; its run ends",
    Follow.REOPEN: "stays; there is a new task",
}


def table() -> str:
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "| a task that is | " + " | ".join(f"there: {words}" for words in MOVED.values()) + " |"
    yield "|---" * (len(MOVED) + 1) + "|"
    for status, row in TABLE.items():
        yield f"| `{status}` | " + " | ".join(MEANS[row[stage]] for stage in MOVED) + " |"


if __name__ == "__main__":
    sys.stdout.write(table())
