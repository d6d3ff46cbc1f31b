"""One API with a real board, for each test that asks for it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.edge.scheduler.office import Office


@pytest.fixture
async def office(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Office]:
    office = Office(tmp_path, nursery)
    yield office
    office.store.close()
