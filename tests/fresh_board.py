"""An empty board at the price of a copy: making one takes 30 ms, and hundreds of tests want one."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from scheduler.blackboard.store import Store


def fresh_board(path: Path) -> str:
    """A board in the file `path`, and its URL."""
    path.touch(mode=0o600)
    path.write_bytes(_empty())
    return f"sqlite:///{path}"


@cache
def _empty() -> bytes:
    with TemporaryDirectory() as directory:
        made = Path(directory, "board.db")
        Store.open(f"sqlite:///{made}", artifacts=Path(directory, "artifacts")).close()
        return made.read_bytes()
