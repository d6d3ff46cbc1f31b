"""One API per test, over a board of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.edge.scheduler.office import Office


@pytest.fixture
async def office(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Office]:
    made = Office(tmp_path, nursery)
    yield made
    made.store.close()
