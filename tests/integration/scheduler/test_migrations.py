"""A board of an older Clawpace, full of what a team left on it, opened by this one: nothing of it is lost."""

import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, MetaData, create_engine, insert, select, update

from scheduler.blackboard import mirrored, mirrors, schema
from scheduler.blackboard.queries import TaskQuery
from scheduler.blackboard.store import Store
from scheduler.core import deciding, halting, holding
from scheduler.core.exchange.items import Stage
from scheduler.core.exchange.mirror import Mirror
from scheduler.core.records import Notice, Verdict
from scheduler.core.task import Draft, Priority, Source
from tests.integration.postgres import Cluster
from tests.integration.scheduler.boards import opened, sqlite_url
from tests.on_the_board import notices, tell

pytestmark = pytest.mark.integration


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def address(request: pytest.FixtureRequest) -> Iterator[Callable[[Path], str]]:
    """Makes addresses of databases that are not there yet."""
    if request.param == "sqlite":
        yield sqlite_url
        return
    cluster: Cluster = request.getfixturevalue("postgres_cluster")
    made: list[str] = []

    def fresh(_: Path) -> str:
        made.append(cluster.fresh_database())
        return made[-1]

    yield fresh
    for url in made:
        cluster.drop_database(url)


def fill(store: Store) -> None:
    """Something in every table and in every state."""

    def make(title: str, **card: object) -> str:
        return store.create(Draft(title, **card), who="ann", now=1.0).id  # type: ignore[arg-type]  # words of a Draft

    def hand_in(task: str) -> None:
        claimed = store.claim(task, agent="ops", now=10.0, lease_seconds=60.0)
        received = store.receive("größer 漢字".encode())
        store.hand_in(task, received, name="report.md", final=True, now=11.0, token=claimed.token)

    done, failed, review, working, claimed = (make(f"task {number}", assignee="ops") for number in range(5))
    make("waits", depends_on=(done, failed), priority=Priority.URGENT, not_before=99.5)
    make("risky", risk_tools=("delete_file",), expects=("nonempty",), review="person", max_turns=9)
    make("from elsewhere", source=Source.MULTICA, external_id="i-1", description="many\nlines")
    make("review", review_of=review)
    hand_in(done)
    store.change(
        done,
        partial(deciding.decide, verdict=Verdict.ACCEPT, by="ann", reason="good", now=12.0),
        now=12.0,
    )
    store.change(done, lambda task, _: halting.archive(task, who="ann", now=13.0), now=13.0)
    store.change(failed, partial(halting.fail, reason="no paint", who="ann", now=12.0), now=12.0)
    hand_in(review)
    for task in (working, claimed):
        store.claim(task, agent="ops", now=14.0, lease_seconds=None)
    say = partial(holding.comment, text="hm", author="ops", held=True, now=15.0)
    store.change(working, say, now=15.0)
    store.change(working, partial(holding.observe, text="oh", author="ops", held=True, now=16.0), now=16.0)
    store.tell([Notice("coo", f"cause {number}", "text", 17.0, urgent=number == 1) for number in range(3)])
    tell(store, 1, 18.0)
    store.set_pause("ops", 99.0, who="ann", now=19.0)
    store.remember_run_seconds("critic", 12.5)


def picture(store: Store) -> object:
    """All that can be asked."""
    tasks = store.tasks(TaskQuery(archived=True, limit=100)).tasks
    return (
        tasks,
        [store.thread(task.id) for task in tasks],
        store.all_outputs(),
        [store.output_file(output).read_bytes() for output in store.all_outputs()],
        store.events_after(0),
        notices(store),
        store.agents(),
        store.snapshot(),
        store.counts(),
    )


def engine(url: str) -> Engine:
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


def copy(from_url: str, to_url: str) -> None:
    """Every row, as far as the older tables know its columns."""
    source, target = engine(from_url), engine(to_url)
    new, old = MetaData(), MetaData()
    new.reflect(source)
    old.reflect(target)
    with source.connect() as reading, target.begin() as writing:
        for table in old.sorted_tables:
            if table.name == "alembic_version":
                continue
            columns = [new.tables[table.name].c[column.name] for column in table.c]
            rows = [dict(row._mapping) for row in reading.execute(select(*columns).order_by(columns[0]))]
            if table.name == "counters":
                for row in rows:
                    writing.execute(update(table).where(table.c.name == row["name"]).values(row))
            elif rows:
                writing.execute(insert(table), rows)
    source.dispose()
    target.dispose()


def test_a_board_of_the_first_revision_is_carried_over_whole(
    address: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, old = address(tmp_path / "full"), address(tmp_path / "old")
    with opened(full, tmp_path) as store:
        fill(store)
        expected = picture(store)
    with monkeypatch.context() as before:
        before.setattr(schema, "LATEST", "0001")
        with opened(old, tmp_path):
            pass
    copy(full, old)
    with opened(old, tmp_path) as store:
        assert picture(store) == expected
        assert mirrored.digest(store, "ops") is None
        row = Mirror(Source.MULTICA, "i-1", Stage.TODO, told=Stage.TODO, task="T-0008")
        mirrors.put(store, None, row)
        mirrors.remember_digest(store, "ops", "a digest")
        assert store.agents()["ops"].paused_until == 99.0
    with opened(old, tmp_path) as store:
        assert mirrored.one(store, Source.MULTICA, "i-1").row == row
        assert store.tasks(TaskQuery(archived=True, limit=100)).tasks == expected[0]  # type: ignore[index]  # a tuple


def test_the_copy_that_is_kept_is_the_board_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = sqlite_url(tmp_path)
    with monkeypatch.context() as before:
        before.setattr(schema, "LATEST", "0001")
        with opened(url, tmp_path):
            pass
    with opened(url, tmp_path) as store:
        store.create(Draft("since"), who="me", now=1.0)
    kept = sqlite3.connect(tmp_path / "state" / "blackboard.db.before-0002")
    assert kept.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
    assert kept.execute("SELECT count(*) FROM tasks").fetchall() == [(0,)]
    kept.close()
