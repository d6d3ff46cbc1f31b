"""The scheduler on a failing machine: a clear error, nothing acknowledged is lost, and on it goes."""

import signal
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest
import trio

from shared import clock
from tests.integration.processes import until
from tests.integration.scheduler.daemons import TASKS, Scheduler, open_store, run_scheduler
from tests.integration.scheduler.faults import SteppingClock, hits, under_faults
from tests.openclaw_stand_in import StandIn

pytestmark = [pytest.mark.integration, pytest.mark.needs("minutes")]

HOUR = 3600.0
SYNC = ("fsync", "fdatasync")
"""Which of them SQLite calls is decided when it is built."""


@pytest.mark.needs("strace")
async def test_a_full_disk_is_said_and_when_there_is_room_again_all_goes_on(tmp_path: Path) -> None:
    trace, wal = tmp_path / "trace", tmp_path / "state" / "blackboard.db-wal"

    def full(argv: list[str]) -> list[str]:
        return under_faults(argv, trace, "pwrite64:error=ENOSPC:when=150..170", files=[wal])

    with trio.fail_after(120):
        async with run_scheduler(tmp_path, wrap=full) as scheduler:
            kept: list[str] = []
            refusal = await _create_until(scheduler, kept, lambda answer: answer.status_code != 201)
            assert refusal.status_code == 503
            assert refusal.json()["error"]["code"] == "database_unavailable"
            assert "full" in refusal.json()["error"]["message"]
            assert (await scheduler.json(f"{TASKS}/{kept[0]}"))["id"] == kept[0]
            await _create_until(scheduler, kept, lambda answer: answer.status_code == 201)
            assert hits(trace)
            # Faults are counted for each thread: another one may have some of them before it.
            await until(_ticks_well(scheduler))
            assert (await scheduler.health())[0] == 200
        assert _intact(scheduler.database, kept)


def _ticks_well(scheduler: Scheduler) -> Callable[[], bool | Awaitable[bool]]:
    async def ticks_well() -> bool:
        return bool((await scheduler.do("/api/daemon/tick"))["outcome"] == "ok")

    return ticks_well


@pytest.mark.needs("strace")
async def test_a_disk_that_loses_what_it_was_given_ends_the_process(tmp_path: Path) -> None:
    """Whoever goes on after a failed fsync may acknowledge what is not there."""
    trace, wal = tmp_path / "trace", tmp_path / "state" / "blackboard.db-wal"

    def broken(argv: list[str]) -> list[str]:
        return under_faults(argv, trace, *(f"{call}:error=EIO:when=12+" for call in SYNC), files=[wal])

    with trio.fail_after(120):
        async with run_scheduler(tmp_path, wrap=broken) as scheduler:
            scheduler.exit_code = 1
            kept: list[str] = []
            try:
                refusal = await _create_until(scheduler, kept, lambda answer: answer.status_code != 201)
            except httpx.TransportError:
                pass  # it was quicker to end
            else:
                assert refusal.status_code == 503
            with trio.fail_after(15):
                assert await scheduler.process.wait() == 1
            assert hits(trace)
            (line,) = scheduler.errors.read_text().splitlines()
            assert "the board cannot be trusted any more" in line
            assert "disk I/O error" in line
            assert scheduler.log_lines("board_broken")
        assert kept
        assert _intact(scheduler.database, kept)
        async with run_scheduler(tmp_path) as again:
            for task in kept:
                await again.task(task)


@pytest.mark.needs("strace")
async def test_where_no_process_can_be_started_the_task_stays_and_is_started_later(tmp_path: Path) -> None:
    stand_in = StandIn(_made(tmp_path / "openclaw"))
    stand_in.script(ends="never")
    env = {"SCHEDULER_RUNNER": "openclaw", "SCHEDULER_OPENCLAW": str(stand_in.program)}
    trace = tmp_path / "trace"

    def without_forks(argv: list[str]) -> list[str]:
        # Python's first choice, and what it does when that fails. Threads are begun by clone3.
        return under_faults(argv, trace, *(f"{call}:error=EAGAIN:when=1..3" for call in ("vfork", "clone")))

    with trio.fail_after(120):
        async with run_scheduler(tmp_path, env=env, wrap=without_forks) as scheduler:
            task = await scheduler.create(assignee="ops")
            await scheduler.do("/api/daemon/tick")
            assert hits(trace)
            _, page = await scheduler.health()
            assert "cannot be started" in page["components"]["openclaw"]["reason"]
            assert (await scheduler.task(task))["attempt"] == 0

            async def started() -> bool:
                await scheduler.do("/api/daemon/tick")
                return bool(stand_in.starts_of(f"{task}.1"))

            await _until(started)
            assert len(stand_in.starts()) == 1
            assert not scheduler.log_lines("part_failed")


async def test_a_board_that_somebody_locks_for_long_is_busy_and_then_fine(tmp_path: Path) -> None:
    with trio.fail_after(120):
        async with run_scheduler(tmp_path) as scheduler:
            task = await scheduler.create()
            with closing(sqlite3.connect(scheduler.database, isolation_level=None)) as somebody:
                somebody.execute("BEGIN IMMEDIATE")
                began = clock.monotonic()
                answer = await scheduler.post(TASKS, {"title": "in vain"})
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
                assert 9 < clock.monotonic() - began < 25
                assert int(answer.headers["retry-after"]) >= 1
                # Reading goes on meanwhile.
                assert (await scheduler.health())[0] == 200
                assert (await scheduler.task(task))["id"] == task
                somebody.execute("ROLLBACK")
            assert (await scheduler.post(TASKS, {"title": "now"})).status_code == 201
            assert (await scheduler.do("/api/daemon/tick"))["outcome"] == "ok"
            assert not scheduler.log_lines("part_parked")


@pytest.mark.needs("faketime")
@pytest.mark.parametrize("hours", [1, -1, 5])
async def test_a_clock_that_steps_recovers_no_run_and_makes_no_storm(tmp_path: Path, hours: int) -> None:
    wall = SteppingClock(tmp_path / "clock")
    stand_in = StandIn(_made(tmp_path / "openclaw"))
    stand_in.script(ends="never")
    env = {
        "SCHEDULER_RUNNER": "openclaw",
        "SCHEDULER_OPENCLAW": str(stand_in.program),
        "SCHEDULER_TICK_SECONDS": "1",
        "SCHEDULER_LOG_LEVEL": "DEBUG",
        **wall.env,
    }
    with trio.fail_after(120):
        async with run_scheduler(tmp_path, env=env) as scheduler:
            tasks = [await scheduler.create(assignee=agent) for agent in ("ops", "dev")]
            await until(lambda: len(stand_in.starts()) == 2)
            await until(lambda: len(scheduler.log_lines("run_started")) == 2)
            by_hand = [await scheduler.create() for _ in range(5)]
            for task in by_hand:
                await scheduler.do(f"{TASKS}/{task}/claim", {"agent": "ann", "ttl": 600})
            before = len(scheduler.log_lines("tick_completed"))
            wall.show(hours * HOUR)
            began = trio.current_time()
            await until(lambda: len(scheduler.log_lines("tick_completed")) >= before + 4)
            took = trio.current_time() - began
            assert len(scheduler.log_lines("tick_completed")) - before <= 4 + 3 * took
            for task in tasks:
                shown = await scheduler.task(task)
                assert (shown["status"], shown["epoch"]) == ("claimed", 1), shown
            for task in by_hand:
                assert (await scheduler.task(task))["status"] == "claimed"
            assert not stand_in.calls("sessions.abort")
            assert scheduler.log_lines("nobody_looked")
            # And their ends are noticed as ever.
            for task in tasks:
                stand_in.finish(f"{task}.1", "It is done.")
            for task in tasks:
                await scheduler.until_task(task, "done")
            wall.show(0)
            await scheduler.do("/api/daemon/tick")
            assert (await scheduler.json("/api/daemon/status"))["ticker_running"]
            late = await scheduler.create(assignee="ops")
            await until(lambda: stand_in.starts_of(f"{late}.1"))


@pytest.mark.needs("strace")
@pytest.mark.parametrize("number", [4, 6, 8, 10])
async def test_a_death_at_any_write_of_a_tick_leaves_a_board_from_which_the_next_goes_on(
    tmp_path: Path, number: int
) -> None:
    """Killed in the n-th sync of the log, wherever in the start of a run that is: it is begun once."""
    stand_in = StandIn(_made(tmp_path / "openclaw"))
    stand_in.script(answer="It is done.")
    env = {"SCHEDULER_RUNNER": "openclaw", "SCHEDULER_OPENCLAW": str(stand_in.program)}
    wal = tmp_path / "state" / "blackboard.db-wal"

    def dying(argv: list[str]) -> list[str]:
        kills = (f"{call}:signal=SIGKILL:when={number}" for call in SYNC)
        return under_faults(argv, tmp_path / "trace", *kills, files=[wal])

    kept: list[str] = []
    with trio.fail_after(90):
        async with run_scheduler(tmp_path, env=env, wrap=dying) as scheduler:
            scheduler.exit_code = -signal.SIGKILL
            with suppress(httpx.TransportError):
                for _ in range(50):
                    kept.append(await scheduler.create(assignee="ops"))
                    await scheduler.do("/api/daemon/tick")
            assert await scheduler.process.wait() == -signal.SIGKILL
        async with run_scheduler(tmp_path, env=env) as scheduler:
            for task in kept:
                await scheduler.until_task(task, "done")
        # What was not acknowledged may be there all the same.
        runs = [start.run_id for start in stand_in.starts()]
        assert len(set(runs)) == len(runs)
        assert {f"{task}.1" for task in kept} <= set(runs)


async def test_a_part_that_finds_a_disk_full_is_not_given_up(tmp_path: Path) -> None:
    """The directory of tickets is lost; it is made again, and the run begins."""
    stand_in = StandIn(_made(tmp_path / "openclaw"))
    stand_in.script(ends="never")
    env = {"SCHEDULER_RUNNER": "openclaw", "SCHEDULER_OPENCLAW": str(stand_in.program)}
    with trio.fail_after(60):
        async with run_scheduler(tmp_path, env=env) as scheduler:
            tickets = scheduler.state_dir / "tickets"
            tickets.write_text("in the way")
            task = await scheduler.create(assignee="ops")
            await until(lambda: scheduler.log_lines("run_not_started"))
            tickets.unlink()

            async def started() -> bool:
                await scheduler.do("/api/daemon/tick")
                return bool(stand_in.starts_of(f"{task}.1"))

            await _until(started)
            assert not scheduler.log_lines("part_failed")
            with open_store(scheduler) as store:
                assert store.task(task).epoch == 1


async def _create_until(
    scheduler: Scheduler, kept: list[str], enough: Callable[[httpx.Response], bool]
) -> httpx.Response:
    """Put tasks on the board; `kept` are those that it has acknowledged."""
    for _ in range(400):
        answer = await scheduler.post(TASKS, {"title": "x" * 200})
        if answer.status_code == 201:
            kept.append(answer.json()["id"])
        if enough(answer):
            return answer
    raise AssertionError(f"nothing but {answer.status_code} after {len(kept)}")


def _intact(database: Path, kept: list[str]) -> bool:
    """By SQLite's own check; and what was acknowledged is there."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        numbers = {number for (number,) in connection.execute("SELECT number FROM tasks")}
    return {int(task.removeprefix("T-")) for task in kept} <= numbers


async def _until(look: Callable[[], Awaitable[bool]]) -> None:
    either: Callable[[], bool | Awaitable[bool]] = look
    await until(either, 30)


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
