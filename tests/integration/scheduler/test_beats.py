"""Heartbeats and figures on both databases."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import insert, select

from scheduler.blackboard import beats
from scheduler.blackboard.figures import facts
from scheduler.blackboard.store import Store
from scheduler.blackboard.tables import heartbeats, metadata
from scheduler.core import halting, watching
from scheduler.core.beats import Beat, Kept, Planned
from scheduler.core.commands import Explain, Suspect
from scheduler.core.errors import Refused
from scheduler.core.figures import Holding, Load, Pile, Reason
from scheduler.core.running import started
from scheduler.core.states import Status
from scheduler.core.task import Draft, Task
from tests.integration.postgres import Cluster
from tests.integration.scheduler.boards import opened, sqlite_url
from tests.on_the_board import history

pytestmark = pytest.mark.integration

NOW = 1_800_000_000.0
RULE = "*/10 * * * * UTC"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("emptied_url")
    with opened(url, tmp_path) as store:
        yield store


@pytest.fixture(scope="module")
def kept_url(postgres_cluster: Cluster) -> Iterator[str]:
    """One for all these tests: to create a database takes longer than any of them."""
    url = postgres_cluster.fresh_database()
    yield url
    postgres_cluster.drop_database(url)


@pytest.fixture
def emptied_url(kept_url: str) -> str:
    with psycopg.connect(kept_url) as connection:
        if connection.execute("SELECT to_regclass('tasks')").fetchone() != (None,):
            names = ", ".join(table.name for table in metadata.sorted_tables if table.name != "counters")
            connection.execute(f"TRUNCATE {names} RESTART IDENTITY".encode())
            connection.execute("UPDATE counters SET value = 0")
    return kept_url


def planned(due_at: float, agent: str = "coo") -> Planned:
    return Planned(agent, due_at, RULE)


def fired(due_at: float, agent: str = "coo", **more: object) -> Beat:
    return replace(Beat(agent, due_at, due_at + 0.25), **more)  # type: ignore[arg-type]  # its own fields


# -- heartbeats --------------------------------------------------------------------------------------------


def test_what_is_planned_is_known_to_the_next_process(board: Store) -> None:
    assert beats.kept(board, NOW) == {}
    beats.plan(board, {"coo": planned(NOW + 10), "ops": planned(NOW + 20, "ops"), "gone": None}, NOW)
    assert beats.kept(board, NOW) == {
        "coo": Kept(planned(NOW + 10)),
        "ops": Kept(planned(NOW + 20, "ops")),
    }
    beats.plan(board, {"coo": planned(NOW + 15), "ops": None}, NOW)
    assert beats.kept(board, NOW) == {"coo": Kept(planned(NOW + 15))}


def test_a_heartbeat_and_the_next_one_are_written_together(board: Store) -> None:
    beats.plan(board, {"coo": planned(NOW), "ops": planned(NOW + 20, "ops")}, NOW)
    full = fired(
        NOW,
        seconds=1.5,
        ok=False,
        reason="größe",
        found=1,
        started=2,
        deferred=3,
        skipped=4,
        failed=5,
        changed=6,
        pending=7,
        missed=8,
        unchanged=True,
        new=("T-0001",),
        unavailable={"multica": "not there"},
    )
    assert beats.record(board, full, planned(NOW + 600))
    assert history(board, "coo") == [full]
    assert beats.kept(board, NOW + 1) == {
        "coo": Kept(planned(NOW + 600), last_fired_at=NOW + 0.25),
        "ops": Kept(planned(NOW + 20, "ops")),
    }


def test_the_same_heartbeat_is_never_written_down_twice(board: Store) -> None:
    beats.plan(board, {"coo": planned(NOW)}, NOW)
    assert beats.record(board, fired(NOW), planned(NOW + 600))
    assert not beats.record(board, fired(NOW, reason="again"), planned(NOW + 600))
    assert [each.reason for each in history(board, "coo")] == [""]
    assert beats.kept(board, NOW)["coo"].planned == planned(NOW + 600)


def test_one_that_was_never_planned_is_written_down_all_the_same(board: Store) -> None:
    assert beats.record(board, fired(NOW), None)
    assert beats.kept(board, NOW + 1) == {"coo": Kept(None, last_fired_at=NOW + 0.25)}


def test_one_that_somebody_asked_for_leaves_what_is_planned(board: Store) -> None:
    beats.plan(board, {"coo": planned(NOW + 10)}, NOW)
    assert beats.note(board, fired(NOW + 1))
    assert not beats.note(board, fired(NOW + 1))
    assert beats.kept(board, NOW + 2)["coo"] == Kept(planned(NOW + 10), last_fired_at=NOW + 1.25)


def test_after_a_clock_was_set_back_the_names_in_use_are_known(board: Store) -> None:
    for number in range(4):
        beats.record(board, fired(NOW + 600 * number), planned(NOW + 600 * (number + 1)))
    known = beats.kept(board, NOW + 700)["coo"]
    assert known.used == {NOW + 1200, NOW + 1800}
    assert known.last_fired_at == NOW + 600.25
    beats.plan(board, {"coo": planned(NOW + 100)}, NOW)
    assert beats.kept(board, NOW + 9000)["coo"].used == {NOW + 600, NOW + 1200, NOW + 1800}
    assert beats.kept(board, NOW - 1)["coo"].last_fired_at is None


def test_old_ones_are_forgotten_and_what_is_planned_never_is(board: Store) -> None:
    old = NOW - beats.KEPT_SECONDS
    for agent in ("coo", "gone"):
        beats.record(board, fired(old - 1, agent), None)
        beats.record(board, fired(old + 1, agent), planned(old - 5, agent))
    beats.record(board, fired(NOW - 0.25), None)
    assert len(history(board, "coo")) == 2
    assert len(history(board, "gone")) == 2
    beats.plan(board, {}, NOW)
    assert len(history(board, "gone")) == 1
    assert beats.kept(board, NOW)["gone"].planned == planned(old - 5, "gone")


def test_what_another_release_wrote_is_read_as_far_as_it_goes(board: Store) -> None:
    rows = [
        {"agent": "coo", "due_at": NOW, "fired_at": NOW, "result": '{"found": 3, "news": [1]}'},
        {"agent": "coo", "due_at": NOW + 1, "fired_at": NOW + 1, "result": None},
        {"agent": "coo", "due_at": NOW + 2, "fired_at": NOW + 2, "result": "not JSON"},
        {"agent": "coo", "due_at": NOW + 3, "fired_at": None, "result": "not JSON"},
        {"agent": "ops", "due_at": NOW + 3, "fired_at": None, "result": None},
    ]
    board.transactions.write(lambda connection: connection.execute(insert(heartbeats), rows))
    assert [each.found for each in history(board, "coo")] == [0, 0, 3]
    assert beats.kept(board, NOW)["coo"].planned == Planned("coo", NOW + 3, "")
    assert beats.kept(board, NOW)["ops"].planned == Planned("ops", NOW + 3, "")


def test_what_no_database_keeps_is_refused_and_nothing_is_written(board: Store) -> None:
    beats.plan(board, {"coo": planned(NOW)}, NOW)
    with pytest.raises(Refused):
        beats.record(board, fired(NOW, reason="\ud800"), planned(NOW + 600))
    assert beats.kept(board, NOW)["coo"] == Kept(planned(NOW))


# -- tasks -------------------------------------------------------------------------------------------------


def make(board: Store, title: str = "a task", **card: object) -> Task:
    return board.create(Draft(title, **card), who="me", now=NOW - 3600)  # type: ignore[arg-type]  # of a Draft


def end(board: Store, task: Task) -> None:
    def fail(each: Task, held: object) -> object:
        return halting.fail(each, held, reason="no", who="me", now=NOW)  # type: ignore[arg-type]  # an attempt

    board.change(task.id, fail, now=NOW)  # type: ignore[arg-type]  # likewise


def test_why_the_tasks_of_an_agent_wait(board: Store) -> None:
    first = make(board, assignee="coo")
    make(board, assignee="coo")
    make(board, assignee="ops")
    make(board)
    end(board, make(board, assignee="coo"))
    board.explain([Explain(first.number, "all agents are paused", None)])
    assert sorted(map(str, beats.waiting(board, "coo"))) == ["None", "all agents are paused"]
    assert beats.waiting(board, "nobody") == []


def test_whether_checks_are_open_is_asked_by_how_their_ids_begin(board: Store) -> None:
    task = make(board, assignee="co_o", external_id="checks:co_o:7")
    assert beats.any_open(board, "checks:co_o:")
    assert not beats.any_open(board, "checks:coxo:"), "an underscore is no wildcard"
    assert not beats.any_open(board, "checks:co:")
    end(board, task)
    assert not beats.any_open(board, "checks:co_o:")


def test_the_board_counts_backlog_load_and_who_holds_what(board: Store) -> None:
    working = make(board, assignee="coder", max_attempts=2)
    claimed = board.claim(working.id, agent="coder", now=NOW - 600, lease_seconds=None)
    attempt = board.attempt(working.id, 1)
    assert attempt is not None
    board.change_attempt(working.id, 1, partial(started, now=NOW - 500), NOW - 500)
    suspect = Suspect(working.id, claimed.task.epoch, 1.0, ())
    board.change(working.id, lambda task, held: watching.suspect(task, held, suspect, now=NOW - 100), now=NOW)
    by_hand = make(board)
    board.claim(by_hand.id, agent="guest", now=NOW - 50, lease_seconds=60.0)
    waiting = make(board, assignee="coder")
    board.explain([Explain(waiting.number, "coder works on T-0001", NOW)])
    make(board)
    end(board, make(board, assignee="coder"))
    board.set_pause("coder", NOW + 5, who="me", now=NOW)
    board.remember_run_seconds("guest", 5.0)

    found = facts(board, since=NOW - 3600, now=NOW)
    assert set(found.piles) == {
        Pile("coder", Status.CLAIMED, 1, NOW - 3600),
        Pile("coder", Status.PENDING, 1, NOW - 3600),
        Pile("guest", Status.CLAIMED, 1, NOW - 3600),
        Pile(None, Status.PENDING, 1, NOW - 3600),
    }
    assert found.holdings == (Holding("coder", working.id, suspect=True), Holding("guest", by_hand.id))
    assert found.loads == (Load("coder", 1, 500.0),), "what is claimed by hand is no run"
    assert found.reasons == (Reason("coder", "coder works on T-0001", 1),)
    assert found.paused_until == {"coder": NOW + 5}
    assert facts(board, since=NOW, now=NOW).loads == ()


def test_the_table_of_heartbeats_has_one_row_for_each(board: Store) -> None:
    beats.plan(board, {"coo": planned(NOW)}, NOW)
    beats.record(board, fired(NOW), planned(NOW + 600))
    rows = board.transactions.read(
        lambda connection: connection.execute(
            select(heartbeats.c.due_at, heartbeats.c.fired_at).order_by(heartbeats.c.due_at)
        ).all()
    )
    assert [tuple(row) for row in rows] == [(NOW, NOW + 0.25), (NOW + 600, None)]
