"""What a report asks of the board, on both databases; and the part of the daemon that sends it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from scheduler.blackboard import beats, reporting
from scheduler.blackboard.board import Board
from scheduler.blackboard.reporting import MOST_OF_A_KIND, Beats, Missing, Used, collect
from scheduler.blackboard.store import Store
from scheduler.core import deciding, halting, running, watching
from scheduler.core.beats import Beat
from scheduler.core.commands import Suspect
from scheduler.core.sighting import RunSeen, RunState
from scheduler.core.states import Status
from scheduler.core.task import Draft, Priority, Task
from scheduler.report.model import Outside
from scheduler.report.reporting import Reporting
from scheduler.roster import Roster, read_roster
from shared import clock
from tests.integration.processes import until
from tests.integration.scheduler.boards import opened, sqlite_url
from tests.on_the_board import notices

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 20, 22, 0, tzinfo=UTC).timestamp()
DAY = 86_400.0


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with opened(url, tmp_path) as store:
        yield store


def put(store: Store, title: str = "a task", at: float = NOW - 600, **card: object) -> Task:
    draft = Draft(title, creator="ann", **{"assignee": "coo", **card})  # type: ignore[arg-type]  # words of a Draft
    return store.create(draft, who="ann", now=at)


def ran(store: Store, task: Task, seen: RunSeen, at: float, *, text: str = "") -> None:
    """One run of it, from its claim to its end."""
    claimed = store.claim(task.id, agent="coo", now=at, lease_seconds=None)
    epoch = claimed.task.epoch
    store.change_attempt(task.id, epoch, partial(running.started, now=at), at)
    if text:
        received = store.receive(text.encode())
        store.hand_in(task.id, received, name="a.md", final=True, author="coo", now=at)
        store.change(task.id, lambda it, held: deciding.judge(it, held, (), epoch=epoch, now=at), now=at)
    store.change_attempt(task.id, epoch, partial(running.run_ended, seen=seen, now=at), at)


def test_what_ended_in_the_time_is_told_and_what_ended_before_is_not(store: Store) -> None:
    early, done, failed = (
        put(store, at=NOW - 3 * DAY),
        put(store, "Done"),
        put(store, "Failed", max_attempts=1),
    )
    ok = RunSeen("r", RunState.OK, turns=5, tokens=700, throttled=1)
    ran(store, early, ok, NOW - 2 * DAY, text="x")
    ran(store, done, ok, NOW - 60, text="x")
    ran(store, failed, RunSeen("r", RunState.FAILED, error="it broke", turns=2), NOW - 50)
    found = collect(store, NOW - DAY, NOW)
    assert found.closed == {Status.DONE: 1, Status.FAILED: 1}
    assert [(each.task, each.status) for each in found.last_closed] == [
        (done.id, Status.DONE),
        (failed.id, Status.FAILED),
    ]
    assert "it broke" in found.last_closed[1].reason
    assert found.used == (Used("coo", 2, 7, 700, 1),)
    assert found.open == ()


def test_what_failed_and_is_tried_again_is_open_and_not_failed(store: Store) -> None:
    task = put(store)
    store.change(task.id, lambda it, held: halting.fail(it, held, reason="no", who="ann", now=NOW), now=NOW)
    store.change(task.id, lambda it, _: halting.retry(it, who="ann", now=NOW), now=NOW)
    found = collect(store, NOW - DAY, NOW)
    assert found.closed[Status.FAILED] == 0
    assert [each.id for each in found.open] == [task.id]


def test_open_tasks_come_whole_but_for_what_is_long_and_the_most_urgent_are_kept(store: Store) -> None:
    for number in range(MOST_OF_A_KIND + 1):
        put(store, f"Task {number}", description="d" * 5_000)
    urgent = put(store, "t" * 500, priority=Priority.URGENT)
    store.change(
        urgent.id,
        lambda it, held: halting.block(it, held, reason="r" * 5_000, who="ann", now=NOW),
        now=NOW,
    )
    soon = put(store, "Soon", priority=Priority.URGENT)
    found = collect(store, NOW - DAY, NOW)
    assert found.counts[Status.PENDING] == MOST_OF_A_KIND + 2
    pending = [each for each in found.open if each.status is Status.PENDING]
    assert len(pending) == MOST_OF_A_KIND
    assert pending[0].id == soon.id
    (blocked,) = (each for each in found.open if each.status is Status.BLOCKED)
    assert len(blocked.blocked_reason or "") == reporting.LONGEST_WORDS
    assert {each.description for each in found.open} == {""}


def test_incidents_are_counted_and_the_newest_come_first(store: Store) -> None:
    task = put(store)
    store.claim(task.id, agent="coo", now=NOW - 500, lease_seconds=None)
    store.change_attempt(task.id, 1, partial(running.started, now=NOW - 500), NOW)
    asked = Suspect(task.id, 1, 400.0, ())
    store.change(task.id, partial(watching.suspect, asked=asked, now=NOW - 90), now=NOW)
    store.change_attempt(
        task.id,
        1,
        partial(running.run_ended, seen=RunSeen("r", RunState.FAILED, error="HTTP 429"), now=NOW - 80),
        NOW,
    )
    found = collect(store, NOW - DAY, NOW)
    assert found.incidents == {"suspect": 1, "requeue": 1}
    assert [each.what for each in found.last_incidents] == ["requeue", "suspect"]


def test_heartbeats_are_summed_by_agent_and_sources_that_were_missing_are_told(store: Store) -> None:
    def beat(agent: str, at: float, **more: object) -> None:
        beats.record(store, Beat(agent, at, at + 1, **more), None)  # type: ignore[arg-type]  # words of a Beat

    beat("coo", NOW - 2 * DAY, found=50)
    beat("coo", NOW - 300, found=3, started=2)
    beat("coo", NOW - 200, found=3, unchanged=True)
    beat("qa", NOW - 100, ok=False, failed=1, unavailable={"multica": "exit code 3"})
    beat("coo", NOW - 90, found=3, unchanged=True, unavailable={"multica": "exit code 2"})
    found = collect(store, NOW - DAY, NOW)
    assert found.beats == (
        Beats("coo", fired=3, found=9, started=2, avoided=2),
        Beats("qa", fired=1, failed=1),
    )
    assert found.missing == (Missing("multica", 2, "exit code 2"),)


def test_attempts_that_are_over_come_newest_first(store: Store) -> None:
    first, second = put(store), put(store)
    ran(store, first, RunSeen("r", RunState.OK, turns=5), NOW - 60, text="x")
    ran(store, second, RunSeen("r", RunState.OK, turns=6), NOW - 50, text="x")
    store.claim(put(store).id, agent="coo", now=NOW, lease_seconds=None)
    assert [each.task for each in reporting.ended_attempts(store)] == [second.id, first.id]


# -- the part that sends it -----------------------------------------------------------------------------


@pytest.fixture
def roster(tmp_path: Path) -> Callable[..., Roster]:
    def make(**keys: str) -> Roster:
        file = tmp_path / "agents.yaml"
        file.write_text("".join(f"{key}: {value}\n" for key, value in keys.items()), encoding="utf-8")
        return read_roster(file)

    return make


async def outside() -> Outside:
    return Outside("nobody asked", "nobody asked")


SHANGHAI = {"timezone": "Asia/Shanghai", "report_at": '"22:00"', "report_to": "[coo, boss]"}
AT_TEN = datetime(2026, 11, 20, 14, 0, tzinfo=UTC).timestamp()
"""22:00 in Shanghai."""


async def test_the_report_is_sent_once_a_day_to_each_target(
    store: Store, roster: Callable[..., Roster]
) -> None:
    put(store, "Write it down", at=AT_TEN - 600)
    part = Reporting(Board(store), lambda: roster(**SHANGHAI), outside)
    assert await part.send_if_due(AT_TEN - 1) == ()
    assert await part.send_if_due(AT_TEN) == ("coo", "boss")
    assert await part.send_if_due(AT_TEN + 60) == ()
    told = notices(store)
    assert [(each.to, each.cause) for each in told] == [
        ("coo", "report:2026-11-20:coo"),
        ("boss", "report:2026-11-20:boss"),
    ]
    assert all(each.urgent for each in told)
    assert "2026-11-19 22:00 to 2026-11-20 22:00 (Asia/Shanghai)" in told[0].text
    assert "Write it down" in told[0].text
    assert await part.send_if_due(AT_TEN + DAY) == ("coo", "boss")


async def test_a_report_that_was_missed_is_sent_late_on_the_same_day_and_not_on_the_next(
    store: Store, roster: Callable[..., Roster]
) -> None:
    put(store, at=AT_TEN - DAY)
    part = Reporting(Board(store), lambda: roster(**SHANGHAI), outside)
    assert await part.send_if_due(AT_TEN + 2 * 3600 + 1) == ()
    assert await part.send_if_due(AT_TEN + 2 * 3600 - 1) == ("coo", "boss")


async def test_a_target_that_is_new_on_the_day_is_told_and_the_others_not_again(
    store: Store, roster: Callable[..., Roster]
) -> None:
    put(store, at=AT_TEN - 600)
    team = roster(**SHANGHAI)
    part = Reporting(Board(store), lambda: team, outside)
    await part.send_if_due(AT_TEN)
    team = roster(**{**SHANGHAI, "report_to": "[coo, ann]"})
    assert await part.send_if_due(AT_TEN + 5) == ("ann",)


async def test_a_board_that_is_younger_than_that_sends_nothing_yet(
    store: Store, roster: Callable[..., Roster]
) -> None:
    part = Reporting(Board(store), lambda: roster(**SHANGHAI), outside)
    assert await part.send_if_due(AT_TEN + 60) == ()
    put(store, at=AT_TEN + 30)
    assert await part.send_if_due(AT_TEN + 60) == ()


async def test_without_a_time_no_report_is_sent(store: Store, roster: Callable[..., Roster]) -> None:
    put(store, at=AT_TEN - 600)
    part = Reporting(Board(store), lambda: roster(timezone="UTC"), outside)
    assert await part.send_if_due(AT_TEN) == ()


async def test_it_sends_by_itself_when_the_time_has_come_or_the_roster_names_one(
    store: Store, roster: Callable[..., Roster], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, at=AT_TEN - 600)
    monkeypatch.setattr(clock, "wall", lambda: AT_TEN + 1)
    team = roster(timezone="UTC")
    part = Reporting(Board(store), lambda: team, outside)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(part.run)
        await trio.testing.wait_all_tasks_blocked()
        assert store.notices_count() == 0
        team = roster(**SHANGHAI)
        part.wake()
        await until(lambda: store.notices_count() == 2)
        nursery.cancel_scope.cancel()
