"""What a board in PostgreSQL has to itself: a server, a password, and others who write at the same moment."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from scheduler.blackboard import schema
from scheduler.blackboard.errors import BoardBusy, BoardUnavailable
from scheduler.blackboard.store import Store
from scheduler.blackboard.tables import metadata
from scheduler.core import halting
from scheduler.core.change import Change
from scheduler.core.errors import Code, Refused
from scheduler.core.records import Attempt
from scheduler.core.task import Draft, Task
from tests.integration.postgres import PASSWORD, Cluster, run_cluster
from tests.integration.scheduler.boards import opened

pytestmark = [pytest.mark.integration, pytest.mark.needs("postgresql")]

SHORTLY = 0.3
CARD = Draft("a task")


def in_threads(*works: Callable[[], object]) -> list[object]:
    """All at once; what each returned or raised, in their order."""
    outcomes: list[object] = [None] * len(works)
    begin = threading.Barrier(len(works))

    def run(place: int, work: Callable[[], object]) -> None:
        begin.wait()
        try:
            outcomes[place] = work()
        except Exception as error:
            outcomes[place] = error

    threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_migrations_make_what_the_statements_are_made_from(tmp_path: Path, postgres_url: str) -> None:
    with opened(postgres_url, tmp_path) as store, store.database.writing() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_what_is_not_there_is_made_only_where_it_is_wanted(tmp_path: Path, postgres_url: str) -> None:
    with (
        pytest.raises(BoardUnavailable, match="blackboard init"),
        opened(postgres_url, tmp_path, create=False),
    ):
        pass
    with opened(postgres_url, tmp_path):
        pass
    with opened(postgres_url.replace("postgresql:", "postgresql+psycopg:"), tmp_path, create=False) as store:
        assert store.create(CARD, who="me", now=1.0).id == "T-0001"
        assert store.size_bytes() > 0


def test_several_that_start_at_once_make_one_board(tmp_path: Path, postgres_url: str) -> None:
    def start() -> str:
        with opened(postgres_url, tmp_path) as store:
            return store.create(CARD, who="me", now=1.0).id

    assert sorted(map(str, in_threads(*[start] * 6))) == [f"T-{number:04d}" for number in range(1, 7)]


def test_a_board_of_a_newer_release_or_of_something_else_is_left_alone(
    tmp_path: Path, postgres_cluster: Cluster, postgres_url: str
) -> None:
    with opened(postgres_url, tmp_path):
        pass
    with psycopg.connect(postgres_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(BoardUnavailable, match="newer Clawpace"), opened(postgres_url, tmp_path):
        pass
    other = postgres_cluster.fresh_database()
    with psycopg.connect(other) as connection:
        connection.execute("CREATE TABLE customers (id int)")
    with pytest.raises(BoardUnavailable, match="customers"), opened(other, tmp_path):
        pass


def test_before_a_migration_the_operator_is_told_how_to_keep_a_copy(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(postgres_url, tmp_path):
        pass
    monkeypatch.setattr(schema, "LATEST", "0003")
    monkeypatch.setattr(schema, "_migrate", lambda _: None)
    with opened(postgres_url, tmp_path):
        pass
    told = capsys.readouterr()
    assert "pg_dump --format=custom --file=FILE postgresql://board@127.0.0.1" in told.out + told.err
    assert PASSWORD not in told.out + told.err


def test_no_password_is_in_what_is_said(tmp_path: Path, postgres_url: str) -> None:
    wrong = [
        postgres_url.replace(PASSWORD, "hunter2"),
        postgres_url.replace("127.0.0.1", "nowhere.invalid"),
        f"{postgres_url}_which_is_not_there",
        f"{postgres_url}?sslmode=nonsense",
        f"{postgres_url}?password=hunter2&port=1",
        postgres_url.replace(PASSWORD, "p@ss:w/rd"),
    ]
    for url in wrong:
        with pytest.raises(BoardUnavailable) as told, opened(url, tmp_path, busy_seconds=2.0):
            pass
        for secret in (PASSWORD, "hunter2", "w/rd"):
            assert secret not in str(told.value)
    with opened(postgres_url, tmp_path) as store:
        assert PASSWORD not in f"{store} {store.url_shown} {store.database!r}"


def test_commits_are_on_the_servers_disk_and_nobody_waits_without_end(
    tmp_path: Path, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        name = postgres_url.rpartition("/")[2]
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
    with opened(postgres_url, tmp_path, busy_seconds=7.0) as store, store.database.writing() as writing:
        for setting, value in (
            ("synchronous_commit", "on"),
            ("lock_timeout", "7s"),
            ("statement_timeout", "1min"),
            ("idle_in_transaction_session_timeout", "1min"),
        ):
            assert writing.exec_driver_sql(f"SHOW {setting}").scalar() == value


def test_whoever_waits_too_long_for_a_row_is_told_that_the_board_is_busy(
    tmp_path: Path, postgres_url: str
) -> None:
    with opened(postgres_url, tmp_path, busy_seconds=SHORTLY) as store:
        made = store.create(CARD, who="me", now=1.0)
        with psycopg.connect(postgres_url) as other:
            other.execute("SELECT 1 FROM tasks FOR UPDATE")
            with pytest.raises(BoardBusy, match="lock timeout"):
                store.claim(made.id, agent="coder", now=2.0, lease_seconds=None)
            with pytest.raises(Refused, match="nothing"):
                store.claim_next(agent="coder", now=2.0, lease_seconds=None)
            assert store.task(made.id) == made
        assert store.claim_next(agent="coder", now=2.0, lease_seconds=None).task.id == made.id


def test_a_server_that_goes_away_is_unavailable_and_found_again_when_it_is_back(tmp_path: Path) -> None:
    with run_cluster() as cluster, opened(cluster.fresh_database(), tmp_path, busy_seconds=2.0) as store:
        store.create(CARD, who="me", now=1.0)
        store.counts()
        cluster.stop()
        for question in (store.check, store.counts, lambda: store.create(CARD, who="me", now=1.0)):
            with pytest.raises(BoardUnavailable):
                question()
        cluster.start()
        assert store.create(CARD, who="me", now=1.0).id == "T-0002"
        assert len(store.events_after(0)) == 2


def test_events_become_visible_in_the_order_of_their_numbers(tmp_path: Path, postgres_url: str) -> None:
    """Whoever reads on from the last number it saw must not miss one that is committed later."""
    with opened(postgres_url, tmp_path) as store:
        made = [store.create(CARD, who="me", now=1.0) for _ in range(4)]
        over = threading.Event()
        seen: list[int] = [store.last_event()]

        def write(task: Task) -> None:
            for _ in range(25):
                store.claim(task.id, agent="coder", now=2.0, lease_seconds=None)
                store.change(task.id, partial(blocked_and_back), now=3.0)

        def read() -> None:
            while not over.is_set():
                seen.extend(number for number, _ in store.events_after(seen[-1]))

        reader = threading.Thread(target=read)
        reader.start()
        outcomes = in_threads(*(partial(write, task) for task in made))
        over.set()
        reader.join()
        assert outcomes == [None] * 4
        seen.extend(number for number, _ in store.events_after(seen[-1]))
        assert seen[1:] == [number for number, _ in store.events_after(seen[0], limit=10_000)]
        assert len(seen) - 1 == 4 * 25 * 3


def blocked_and_back(task: Task, held: Attempt | None) -> Change:
    blocked = halting.block(task, held, reason="x", who="me", now=3.0)
    free = halting.unblock(blocked.task, who="me", now=3.0)
    return Change(free.task, (*blocked.records, *free.records), blocked.attempt)


def test_two_who_close_a_circle_together_do_not_both_succeed(tmp_path: Path, postgres_url: str) -> None:
    with opened(postgres_url, tmp_path) as store:
        for _ in range(10):
            first, second = store.create(CARD, who="me", now=1.0), store.create(CARD, who="me", now=1.0)
            outcomes = in_threads(
                *(
                    partial(store.revise, task.id, {"depends_on": (other.id,)}, who="me", now=2.0)
                    for task, other in ((first, second), (second, first))
                )
            )
            refused = [each for each in outcomes if isinstance(each, Refused)]
            assert [each.code for each in refused] == [Code.INVALID]
            assert sum(isinstance(each, Task) for each in outcomes) == 1


def test_of_many_who_want_one_task_one_gets_it(tmp_path: Path, postgres_url: str) -> None:
    with opened(postgres_url, tmp_path) as store:
        made = store.create(CARD, who="me", now=1.0)

        def claim(number: int) -> object:
            return store.claim(made.id, agent=f"agent-{number}", now=2.0, lease_seconds=None)

        outcomes = in_threads(*(partial(claim, number) for number in range(8)))
        codes = [each.code for each in outcomes if isinstance(each, Refused)]
        assert codes == [Code.ALREADY_CLAIMED] * 7
        assert store.task(made.id).epoch == 1


def test_the_same_external_id_brought_twice_at_once_is_kept_once(tmp_path: Path, postgres_url: str) -> None:
    with opened(postgres_url, tmp_path) as store:
        bring = partial(store.create, Draft("a task", external_id="issue-1"), who="me", now=1.0)
        outcomes = in_threads(*[bring] * 5)
        assert [each.code for each in outcomes if isinstance(each, Refused)] == [Code.INVALID] * 4
        assert isinstance(store, Store)
        assert store.create(CARD, who="me", now=1.0).id == "T-0002"
