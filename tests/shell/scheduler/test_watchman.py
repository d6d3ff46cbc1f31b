"""The scheduler's own alarms, with a real board: what is looked at, told and remembered."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from scheduler.blackboard.errors import BoardBroken, BoardBusy
from scheduler.blackboard.progress import last_progress
from scheduler.blackboard.store import Store
from scheduler.core import holding
from scheduler.core.alarms import Facts
from scheduler.core.capacity import Blocked, Capacity
from scheduler.core.task import Draft
from scheduler.watchman import EVERY_SECONDS, Watchman, disk_free, work_on
from shared import clock
from tests.fresh_board import fresh_board
from tests.on_the_board import notices
from tests.shell.scheduler.test_notifier import START, FlakyBoard

BLOCKED = Facts(capacity=Capacity(known=True, blocked=Blocked("no_credits", None)))
WELL = Facts(capacity=Capacity(known=True, effective_rpm=40))
DOWN = Facts(gateway_up=False, gateway_error="ECONNREFUSED")


class Bench:
    """A board, and facts that a test sets."""

    def __init__(self, store: Store) -> None:
        self.store, self.board = store, FlakyBoard(store)
        self.facts = Facts()
        self.woken = 0

    def watchman(self) -> Watchman:
        return Watchman(self.board, self._look, told=self._told)

    @property
    def told(self) -> list[str]:
        return [notice.text for notice in notices(self.store)]

    async def _look(self) -> Facts:
        await trio.lowlevel.checkpoint()
        return self.facts

    def _told(self) -> None:
        self.woken += 1


@pytest.fixture
def bench(tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    url = fresh_board(tmp_path / "board.db")
    monkeypatch.setattr(clock, "wall", lambda: START + autojump_clock.current_time())
    store = Store.open(url, artifacts=tmp_path / "artifacts")
    yield Bench(store)
    store.close()


async def test_what_is_wrong_stands_in_the_outbox_and_somebody_is_woken(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.facts = BLOCKED
    with capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.watchman().run)
            await trio.sleep(1)
            bench.facts = WELL
            await trio.sleep(3 * EVERY_SECONDS)
            nursery.cancel_scope.cancel()
    assert bench.told == [
        "The model API is blocked: no_credits. Nothing is started.",
        "The model API is no longer blocked, after 30 s.",
    ]
    assert bench.woken == 2
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("error", "alarm"),
        ("info", "alarm_over"),
    ]


async def test_a_restart_in_the_middle_of_an_episode_tells_nothing_twice(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.facts = DOWN
    for _ in range(3):
        watchman = bench.watchman()
        for _ in range(3):
            await watchman.look()
            await trio.sleep(EVERY_SECONDS)
    assert len(bench.told) == 1
    assert repr(watchman) == "<Watchman, gateway>"


async def test_what_could_not_be_written_is_told_by_the_next_look(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.facts, bench.board.read_only = BLOCKED, BoardBusy("busy")
    with capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.watchman().run)
            await trio.sleep(1)
            assert bench.told == []
            bench.board.read_only = None
            await trio.sleep(EVERY_SECONDS)
            nursery.cancel_scope.cancel()
    assert len(bench.told) == 1
    assert lines[0]["event"] == "watch_unavailable"


async def test_a_broken_board_ends_the_part(bench: Bench, autojump_clock: MockClock) -> None:
    bench.board.away = BoardBroken("EIO")
    with pytest.raises(BoardBroken):
        await bench.watchman().run()


async def test_an_hour_of_sleep_is_no_hour_without_progress(bench: Bench, autojump_clock: MockClock) -> None:
    bench.store.create(Draft(title="x", assignee="coo", creator="ann"), who="ann", now=START)
    watchman = bench.watchman()

    async def look() -> None:
        bench.facts = replace(Facts(), work=await work_on(bench.board))
        await watchman.look()

    for _ in range(100):
        await look()
        await trio.sleep(EVERY_SECONDS)
    await trio.sleep(10 * 3600)  # the machine sleeps
    await look()
    assert bench.told == []
    for _ in range(120):
        await trio.sleep(EVERY_SECONDS)
        await look()
    assert bench.told == ["1 task waits, and nothing has made progress for an hour."]


async def test_progress_is_what_somebody_got_on_with_and_no_start(
    bench: Bench, autojump_clock: MockClock
) -> None:
    assert last_progress(bench.store) is None
    task = bench.store.create(Draft(title="x", creator="ann"), who="ann", now=START)
    claimed = bench.store.claim(task.id, agent="coo", now=START + 1, lease_seconds=60)
    assert last_progress(bench.store) is None
    bench.store.change(
        task.id, partial(holding.heartbeat, who="coo", now=START + 2), token=claimed.token, now=START + 2
    )
    assert last_progress(bench.store) == START + 2


async def test_the_disk_is_asked_for_what_is_free(tmp_path: Path) -> None:
    free = await disk_free(tmp_path)
    assert free is not None
    assert 0 < free < 1
    assert await disk_free(tmp_path / "gone") is None
    assert await disk_free(Path("/proc")) is None


async def test_nothing_wrong_has_a_name(bench: Bench, autojump_clock: MockClock) -> None:
    watchman = bench.watchman()
    await watchman.look()
    assert repr(watchman) == "<Watchman, all is well>"
    assert bench.woken == 0
