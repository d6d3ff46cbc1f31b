"""One lane per test, in virtual time."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.shell.lanes import Lane


@pytest.fixture
def lane(tmp_path: Path, nursery: trio.Nursery) -> Iterator[Callable[..., Lane]]:
    """Makes lanes; a test asks for the clock itself, because pytest-trio looks at its arguments only."""
    made: list[Lane] = []

    def make(**settings: Any) -> Lane:
        assert trio.current_time() < 1, "autojump_clock is missing among the test's arguments"
        made.append(Lane(tmp_path, nursery, **settings))
        return made[-1]

    yield make
    for each in made:
        each.stamps.close()
