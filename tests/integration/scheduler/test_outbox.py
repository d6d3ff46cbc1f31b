"""What stands in the outbox, on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.blackboard import outbox
from scheduler.blackboard.progress import last_progress
from scheduler.blackboard.store import Store
from scheduler.core.notices import Unsent
from scheduler.core.records import Notice
from scheduler.core.task import Draft
from tests.integration.scheduler.boards import opened, sqlite_url

pytestmark = pytest.mark.integration


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with opened(url, tmp_path) as store:
        yield store


def tell(board: Store, *whom: str, urgent: bool = False) -> list[Notice]:
    card = {"title": "漢字", "fields": [["a", "b"]]}
    notices = [Notice(to, f"{to}:{urgent}", "text", 1.5, urgent, card) for to in whom]
    board.tell(notices)
    return notices


def numbers(board: Store, *names: str, limit: int = 10) -> list[int]:
    return [each.number for each in outbox.unsent(board, names, limit)]


def test_whoever_waits_for_news_is_known_and_gets_their_own(board: Store) -> None:
    coo, ann, _ = tell(board, "coo", "ann", "creator:bob")
    assert outbox.addressees(board) == {"coo", "ann", "creator:bob"}
    assert outbox.unsent(board, ["coo", "ann", "nobody"], 10) == [Unsent(1, coo), Unsent(2, ann)]
    assert outbox.unsent(board, [], 10) == []


def test_urgent_news_comes_first_and_then_the_oldest(board: Store) -> None:
    tell(board, "coo", "ann")
    tell(board, "coo", "ann", urgent=True)
    assert numbers(board, "coo", "ann") == [3, 4, 1, 2]
    assert numbers(board, "coo", "ann", limit=3) == [3, 4, 1]


def test_what_did_not_work_says_so_until_it_does(board: Store) -> None:
    coo, _ = tell(board, "coo", "ann")
    outbox.put_off(board, [1], until=50.0, error="gateway down")
    outbox.put_off(board, [1], until=90.5, error="gateway down")
    assert outbox.unsent(board, ["coo"], 10) == [Unsent(1, coo, tries=2, next_try_at=90.5)]
    outbox.cross_off(board, [1, 2], now=100.0)
    assert outbox.addressees(board) == set()
    assert row(board, 1) == (100.0, 3, None, "")


def test_what_nobody_takes_is_crossed_off_with_the_reason(board: Store) -> None:
    tell(board, "coo")
    outbox.cross_off(board, [1], now=100.0, error="Unknown channel")
    outbox.cross_off(board, [1], now=200.0)
    outbox.put_off(board, [1], until=300.0, error="x")
    assert row(board, 1) == (100.0, 1, None, "Unknown channel")
    assert board.notices_count() == 0


def test_causes_are_found_by_their_beginning_told_or_not(board: Store) -> None:
    board.tell(
        [Notice("critical", cause, "x", at) for at, cause in enumerate(("watch:b", "other", "watch:a"))]
    )
    outbox.cross_off(board, [1], now=5.0)
    assert outbox.causes(board, "watch:") == [("watch:b", 0.0), ("watch:a", 2.0)]


def test_a_board_on_which_nobody_did_anything_saw_no_progress(board: Store) -> None:
    task = board.create(Draft(title="x", creator="ann"), who="ann", now=1.0)
    claimed = board.claim(task.id, agent="coo", now=2.0, lease_seconds=60)
    assert last_progress(board) is None
    with board.receiver() as receiver:
        receiver.write(b"done")
        board.hand_in(task.id, receiver.finish(), name="a.md", final=True, now=3.5, token=claimed.token)
    assert last_progress(board) == 3.5


def row(board: Store, number: int) -> tuple[object, ...]:
    def looked(connection: object) -> tuple[object, ...]:
        statement = f"SELECT done_at, tries, next_try_at, error FROM outbox WHERE number = {number:d}"  # noqa: S608 - a number
        return tuple(connection.exec_driver_sql(statement).one())  # type: ignore[attr-defined]  # a connection

    return board.transactions.read(looked)
