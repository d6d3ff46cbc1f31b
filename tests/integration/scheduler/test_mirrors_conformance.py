"""Rows of task sources, on both databases: what is written with a task is written whole or not at all."""

import threading
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import pytest

from scheduler.blackboard import mirrored, mirrors
from scheduler.blackboard.store import Store
from scheduler.blackboard.tables import mirrors as mirrors_table
from scheduler.core import halting, holding
from scheduler.core.change import Change
from scheduler.core.errors import Code, Refused
from scheduler.core.exchange.items import Stage
from scheduler.core.exchange.mirror import Mirror
from scheduler.core.records import Attempt
from scheduler.core.task import Draft, Source, Task
from tests.integration.postgres import Cluster
from tests.integration.scheduler.boards import opened, sqlite_url

pytestmark = pytest.mark.integration

CARD = Mirror(Source.WORKBOARD, "c1", Stage.TODO, told=Stage.TODO, fingerprint="title:1", seen_at=1.5)
DRAFT = Draft("a card", source=Source.WORKBOARD, external_id="c1", assignee="ops")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        with opened(sqlite_url(tmp_path), tmp_path) as store:
            yield store
        return
    cluster: Cluster = request.getfixturevalue("postgres_cluster")
    url = cluster.fresh_database()
    with opened(url, tmp_path) as store:
        yield store
    cluster.drop_database(url)


def bring(store: Store, external_id: str = "c1", **fields: object) -> Mirror:
    row = replace(CARD, external_id=external_id)
    draft = replace(DRAFT, external_id=external_id, **fields)  # type: ignore[arg-type]  # words of a Draft
    task = mirrors.create(store, None, row, draft, now=2.0)
    return replace(row, task=task.id)


def found(store: Store, external_id: str = "c1", source: Source = Source.WORKBOARD) -> Mirror | None:
    return mirrored.one(store, source, external_id).row


def same(task: Task, attempt: Attempt | None, row: Mirror) -> tuple[Change, Mirror]:
    return Change(task, (), attempt), row


def test_a_row_reads_back_as_it_was_written(store: Store) -> None:
    made = bring(store)
    full = replace(
        made,
        stage=Stage.IN_PROGRESS,
        told=Stage.IN_PROGRESS,
        telling=(Stage.BLOCKED, Stage.DONE),
        told_turns=7,
        told_at=3.25,
        handle="a secret",
        fingerprint="title:1 größe:漢字",
        seen_at=4.0,
        missing_since=5.0,
        tries=2,
        next_try_at=6.5,
        error="away",
    )
    for row in (full, replace(full, told=None), replace(made, telling=(Stage.DONE,)), made):
        before = found(store)
        mirrors.put(store, before, row)
        assert found(store) == row
        for field in fields(Mirror):
            assert type(getattr(found(store), field.name)) is type(getattr(row, field.name)), field.name


def test_a_task_and_its_row_are_made_together_and_once(store: Store) -> None:
    made = bring(store)
    assert found(store) == made
    assert store.task("T-0001").external_id == "c1"
    with pytest.raises(Refused, check=lambda refused: refused.code is Code.STALE_CLAIM):
        bring(store)
    with pytest.raises(Refused):
        bring(store, "c2", depends_on=("T-0099",))
    assert found(store, "c2") is None
    assert store.last_event() == 1


def test_the_next_task_of_an_item_has_the_next_name(store: Store) -> None:
    row = bring(store)
    for number in (2, 3):
        task = mirrors.create(store, row, row, DRAFT, now=3.0)
        assert task.external_id == f"c1#{number}"
        row = replace(row, task=task.id)
    assert found(store) == row


def test_whoever_has_not_seen_the_row_as_it_is_changes_nothing(store: Store) -> None:
    made = bring(store)
    newer = replace(made, seen_at=9.0)
    mirrors.put(store, made, newer)
    cancel = partial(halting.cancel, reason="gone", who="workboard", now=5.0)
    attempts = (
        lambda: mirrors.put(store, made, replace(made, tries=1)),
        lambda: mirrors.put(store, None, made),
        lambda: mirrors.change(store, made, made, lambda task, held: (cancel(task, held), made)),
        lambda: mirrors.revise(store, made, made, {"title": "else"}, now=5.0),
        lambda: mirrors.forget(store, made),
        lambda: mirrors.create(store, made, made, DRAFT, now=5.0),
    )
    for attempt in attempts:
        with pytest.raises(Refused, match="has gone on"):
            attempt()
    assert (found(store), store.task("T-0001").title, store.last_event()) == (newer, "a card", 1)


def test_a_change_that_is_refused_leaves_the_row_as_it_was(store: Store) -> None:
    made = bring(store)

    def refuse(task: Task, held: Attempt | None) -> tuple[Change, Mirror]:
        return holding.release(task, held, reason="", who="x", now=5.0), replace(made, tries=1)

    with pytest.raises(Refused):
        mirrors.change(store, made, made, refuse)
    with pytest.raises(Refused):
        mirrors.revise(store, made, replace(made, tries=1), {"title": ""}, now=5.0)
    assert found(store) == made


def test_words_and_row_change_together(store: Store) -> None:
    made = bring(store)
    mirrors.revise(store, made, replace(made, fingerprint="title:2"), {"title": "else"}, now=5.0)
    assert store.task("T-0001").title == "else"
    row = found(store)
    assert row is not None
    mirrors.revise(store, row, replace(row, missing_since=None, fingerprint="title:3"), {}, now=6.0)
    assert found(store) == replace(made, fingerprint="title:3")
    assert store.last_event() == 2


def test_a_row_of_nobodys_task_can_be_forgotten(store: Store) -> None:
    mirrors.put(store, None, CARD)
    assert mirrored.under_way(store, Source.WORKBOARD) == ["c1"]
    mirrors.forget(store, CARD)
    assert found(store) is None


def test_two_that_bring_the_same_at_once_bring_one(store: Store) -> None:
    outcomes: list[str] = []
    ready = threading.Barrier(4)

    def race() -> None:
        ready.wait()
        try:
            bring(store)
            outcomes.append("brought")
        except Refused as refused:
            outcomes.append(refused.code)

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["brought", *["stale_claim"] * 3]
    assert store.task("T-0001").external_id == "c1"
    assert store.last_event() == 1


def test_what_is_known_is_the_row_its_task_and_its_newest_attempt(store: Store) -> None:
    base = bring(store, "c0")
    made = bring(store, depends_on=("T-0001",))
    store.create(Draft("by hand", source=Source.WORKBOARD, external_id="c3"), who="me", now=2.0)
    store.claim("T-0001", agent="ops", now=3.0, lease_seconds=60.0)
    known = mirrored.known(store, Source.WORKBOARD, ["c0", "c1", "c3", "c9"])
    assert set(known) == {"c0", "c1", "c3"}
    assert (known["c0"].row, known["c0"].task) == (base, store.task("T-0001"))
    assert known["c0"].attempt == store.attempt("T-0001", 1)
    assert (known["c1"].row, known["c1"].attempt, known["c1"].alone) == (made, None, True)
    assert known["c1"].theirs == {"T-0001"}
    assert (known["c3"].row, known["c3"].task) == (None, store.task("T-0003"))
    assert mirrored.known(store, Source.TODO, ["c0"]) == {}
    issue = replace(made, source=Source.MULTICA, external_id="i1")
    mirrors.change(store, None, issue, lambda task, held: same(task, held, issue))
    assert not mirrored.one(store, Source.WORKBOARD, "c1").alone
    mirrors.put(store, issue, replace(issue, stage=Stage.GONE))
    assert mirrored.one(store, Source.WORKBOARD, "c1").alone


def test_more_ids_than_one_statement_takes_are_asked_for_in_parts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        bring(store, f"c{number}")
    monkeypatch.setattr(mirrored, "AT_ONCE", 2)
    assert len(mirrored.known(store, Source.WORKBOARD, [f"c{number}" for number in range(9)])) == 5


def test_candidates_are_open_tasks_of_other_sources_with_that_title_or_that_id(store: Store) -> None:
    bring(store, title="Fix  the ROOF")
    bring(store, "c2", title="fix the roof")
    bring(store, "x9", title="Another")
    bring(store, "c4", title="Fix the roof")
    store.change("T-0004", partial(halting.fail, reason="no", who="me", now=3.0), now=3.0)
    here = mirrored.candidates(store, Source.MULTICA, {"fix the roof"}, {"x9"})
    assert [(task.id, *ids) for task, ids in here] == [("T-0001", "c1"), ("T-0002", "c2"), ("T-0003", "x9")]
    assert mirrored.candidates(store, Source.WORKBOARD, {"fix the roof"}, set()) == []
    issue = replace(CARD, source=Source.MULTICA, external_id="i1", task="T-0001")
    mirrors.change(store, None, issue, lambda task, held: same(task, held, issue))
    assert [task.id for task, _ in mirrored.candidates(store, Source.MULTICA, {"fix the roof"}, set())] == [
        "T-0002"
    ]


def test_news_are_the_items_whose_tasks_something_has_happened_to(store: Store) -> None:
    bring(store)
    bring(store, "c2")
    last, unsettled = mirrored.news(store, Source.WORKBOARD, None)
    assert (last, unsettled) == (2, ())
    assert mirrored.news(store, Source.WORKBOARD, last) == (2, ())
    store.claim("T-0002", agent="ops", now=3.0, lease_seconds=60.0)
    assert mirrored.news(store, Source.WORKBOARD, last) == (3, ("c2",))
    assert mirrored.news(store, Source.WORKBOARD, None) == (3, ("c2",))
    assert mirrored.news(store, Source.MULTICA, last) == (3, ())
    row = found(store, "c1")
    assert row is not None
    mirrors.put(store, row, replace(row, telling=(Stage.IN_PROGRESS,)))
    assert mirrored.news(store, Source.WORKBOARD, None) == (3, ("c1", "c2")), "in doubt is not settled"


def test_what_is_expected_in_a_list_is_what_is_open_here_and_stands_so_there(store: Store) -> None:
    bring(store)
    bring(store, "c2", assignee="critic")
    bring(store, "c3")
    store.change("T-0003", partial(halting.fail, reason="no", who="me", now=3.0), now=3.0)
    assert mirrored.expected(store, Source.WORKBOARD, "ops") == {"c1"}
    assert mirrored.under_way(store, Source.WORKBOARD) == []
    assert mirrored.count_open(store, Source.WORKBOARD) == 2
    row = found(store)
    assert row is not None
    mirrors.put(store, row, replace(row, stage=Stage.IN_PROGRESS))
    assert mirrored.expected(store, Source.WORKBOARD, "ops") == frozenset()
    assert mirrored.under_way(store, Source.WORKBOARD) == ["c1"]


def test_digests_stand_beside_what_else_is_known_of_an_agent(store: Store) -> None:
    assert mirrored.digest(store, "ops") is None
    store.set_pause("ops", 9.0, who="me", now=1.0)
    for digest in ("one", "two"):
        mirrors.remember_digest(store, "ops", digest)
        assert mirrored.digest(store, "ops") == digest
    assert store.agents()["ops"].paused_until == 9.0


def test_ten_thousand_quiet_rows_cost_a_look_nothing(tmp_path: Path) -> None:
    with opened(sqlite_url(tmp_path), tmp_path) as store:
        made = bring(store)
        count_to = (
            "WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 10000)"
        )
        columns = ", ".join(column.name for column in mirrors_table.c if column.name != "external_id")
        with store.transactions._database.writing() as connection:
            # Names of our own, and no values.
            connection.exec_driver_sql(
                f"{count_to} INSERT INTO mirrors (external_id, {columns}) SELECT 'x' || value, {columns} "  # noqa: S608
                "FROM mirrors, n"
            )
        last, _ = mirrored.news(store, Source.WORKBOARD, None)
        steps = 0

        def count(*_: object) -> int:
            nonlocal steps
            steps += 1
            return 0

        with store.transactions._database.reading() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.set_progress_handler(count, 100)
        try:
            assert mirrored.news(store, Source.WORKBOARD, last) == (last, ())
        finally:
            raw.set_progress_handler(None, 0)
        assert steps < 10, "hundreds of steps of SQLite's machine"
        assert found(store) == made
