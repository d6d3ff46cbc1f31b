"""One API with a real board, and one shell, for each test that asks for it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from tests.edge.scheduler.commands import Shell
from tests.edge.scheduler.office import ADMIN, Office
from tests.edge.scheduler.served import served
from tests.fresh_board import fresh_board


@pytest.fixture
async def office(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Office]:
    office = Office(tmp_path, nursery)
    yield office
    office.store.close()


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    home = tmp_path / "home"
    home.mkdir()
    return Shell(home, monkeypatch, capsys)


@pytest.fixture(params=["on the database", pytest.param("over HTTP", marks=pytest.mark.needs("minutes"))])
def board(request: pytest.FixtureRequest, shell: Shell) -> Iterator[Shell]:
    """A shell whose commands reach one board, by either way."""
    database = fresh_board(shell.home / "board.db")
    if request.param == "on the database":
        shell.always("--db", database)
        yield shell
        return
    with served(database, shell.home / "artifacts") as address:
        shell.set(BLACKBOARD_ADMIN_TOKEN=ADMIN)
        shell.always("--url", address)
        yield shell
