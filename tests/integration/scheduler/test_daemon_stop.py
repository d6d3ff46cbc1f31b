"""SIGTERM: what is under way has its time, what was said is written down, and nobody can hold the process."""

import json
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import trio

from tests.integration.processes import until
from tests.integration.scheduler.daemons import ADMIN, TASKS, Scheduler, run_scheduler
from tests.openclaw_stand_in import StandIn

pytestmark = [pytest.mark.integration, pytest.mark.needs("minutes")]

PROMISED_SECONDS = 10.0


async def test_an_open_stream_of_events_ends_at_once(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with run_scheduler(tmp_path) as scheduler, _connected(scheduler) as stream:
            await stream.send_all(_head(scheduler, "GET", "/api/events"))
            assert b"200" in await stream.receive_some()
            with trio.fail_after(2):
                assert await scheduler.terminate() == 0
                while await stream.receive_some():
                    pass


async def test_an_upload_that_dribbles_cannot_hold_it(tmp_path: Path) -> None:
    with trio.fail_after(40):
        async with run_scheduler(tmp_path) as scheduler, _connected(scheduler) as stream:
            more = ["Content-Type: application/json", "Content-Length: 1000000"]
            await stream.send_all(_head(scheduler, "POST", TASKS, *more) + b'{"title": "')
            await _until_served(scheduler)
            with trio.fail_after(PROMISED_SECONDS):
                assert await scheduler.terminate() == 0


async def test_a_short_request_under_way_is_answered(tmp_path: Path) -> None:
    with trio.fail_after(40):
        async with run_scheduler(tmp_path) as scheduler, _connected(scheduler) as stream:
            body = b'{"title": "the last one"}'
            more = ["Content-Type: application/json", f"Content-Length: {len(body)}"]
            await stream.send_all(_head(scheduler, "POST", TASKS, *more) + body[:10])
            await _until_served(scheduler)
            scheduler.process.terminate()
            await until(lambda: scheduler.log_lines("scheduler_draining"))
            await stream.send_all(body[10:])
            answer = b""
            while piece := await stream.receive_some():
                answer += piece
            assert answer.startswith(b"HTTP/1.1 201 ")
            assert await scheduler.process.wait() == 0
            assert "the last one" in _column(scheduler.database, "SELECT title FROM tasks")


@pytest.mark.needs("/proc")
async def test_a_client_that_never_reads_cannot_hold_it(tmp_path: Path) -> None:
    with trio.fail_after(60):
        async with run_scheduler(tmp_path) as scheduler, _connected(scheduler, read_buffer=4096) as stream:
            task = await scheduler.create()
            for number in range(20):
                await scheduler.do(f"{TASKS}/{task}/comment", {"author": "ann", "text": f"{number}" * 50_000})
            for _ in range(4):
                await stream.send_all(_head(scheduler, "GET", f"{TASKS}/{task}?full=1"))
            await until(lambda: _is_stuck(scheduler))
            with trio.fail_after(PROMISED_SECONDS):
                assert await scheduler.terminate() == 0


async def test_a_second_signal_ends_the_patience(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with run_scheduler(tmp_path) as scheduler, _connected(scheduler) as stream:
            more = ["Content-Type: application/json", "Content-Length: 1000"]
            await stream.send_all(_head(scheduler, "POST", TASKS, *more) + b"{")
            await _until_served(scheduler)
            scheduler.process.terminate()
            await until(lambda: scheduler.log_lines("scheduler_draining"))
            scheduler.process.send_signal(signal.SIGINT)
            with trio.fail_after(3):
                assert await scheduler.process.wait() == 0


async def test_a_command_that_hangs_cannot_hold_it_and_does_not_outlive_it(tmp_path: Path) -> None:
    stand_in = StandIn(_made(tmp_path / "openclaw"))
    env = {"SCHEDULER_RUNNER": "openclaw", "SCHEDULER_OPENCLAW": str(stand_in.program)}
    with trio.fail_after(60):
        async with run_scheduler(tmp_path, env=env) as scheduler:
            stand_in.slow(120)
            await scheduler.create(assignee="ops")
            pids = await until(lambda: _children(scheduler.process.pid))
            with trio.fail_after(PROMISED_SECONDS):
                assert await scheduler.terminate() == 0
        assert not list(filter(_lives, pids))


@pytest.mark.parametrize("storage", ["file", "database", "memory"])
async def test_what_happened_last_is_in_the_audit_log(tmp_path: Path, storage: str) -> None:
    """Nothing is lost at SIGTERM, however long the interval is."""
    env = {"AUDIT_STORAGE_TYPE": storage, "AUDIT_FLUSH_INTERVAL": "3600"}
    with trio.fail_after(30):
        async with run_scheduler(tmp_path, env=env) as scheduler:
            tasks = [await scheduler.create(f"task {number}") for number in range(20)]
            denied = await scheduler.http.post(scheduler.url + TASKS, json={"title": "x"})
            assert denied.status_code == 401
            assert await scheduler.terminate() == 0
            assert not scheduler.log_lines("audit_records_lost")
            assert not scheduler.log_lines("audit_record_too_late")
        if storage == "memory":
            return
        subjects, actions = _audited(scheduler, storage)
        assert set(tasks) <= set(subjects)
        assert "write_denied" in actions


@pytest.mark.parametrize("storage", ["file", "database"])
async def test_a_kill_costs_the_audit_log_one_interval_at_most(tmp_path: Path, storage: str) -> None:
    env = {"AUDIT_STORAGE_TYPE": storage, "AUDIT_FLUSH_INTERVAL": "0.2"}
    with trio.fail_after(30):
        async with run_scheduler(tmp_path, env=env) as scheduler:
            first = await scheduler.create()
            await until(lambda: first in _audited(scheduler, storage)[0])
            await scheduler.kill()
        assert first in _audited(scheduler, storage)[0]
        async with run_scheduler(tmp_path, env=env) as scheduler:
            await scheduler.task(first)


async def test_what_nobody_was_told_yet_is_told_at_the_end(tmp_path: Path) -> None:
    """A task that has failed for good tells its creator; the outbox does not wait for its next look."""
    with trio.fail_after(30):
        async with run_scheduler(tmp_path) as scheduler:
            task = await scheduler.create(assignee="demo", max_attempts=1)
            await scheduler.until_task(task, "failed")
            assert await scheduler.terminate() == 0
            assert [line for line in scheduler.log_lines("notification") if task in line["text"]]
            assert not _column(scheduler.database, "SELECT number FROM outbox WHERE done_at IS NULL")


def _audited(scheduler: Scheduler, storage: str) -> tuple[list[str], list[str]]:
    """Subjects and actions, as the store has them now."""
    if storage == "database":
        found = _column(scheduler.database, "SELECT subject FROM audit")
        return found, _column(scheduler.database, "SELECT action FROM audit")
    file = scheduler.state_dir / "audit" / "audit.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    records = [json.loads(line) for line in lines]
    return [record["subject"] for record in records], [record["action"] for record in records]


def _column(database: Path, statement: str) -> list[str]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return [row[0] for row in connection.execute(statement)]


@asynccontextmanager
async def _connected(scheduler: Scheduler, *, read_buffer: int = 0) -> AsyncIterator[trio.SocketStream]:
    sock = trio.socket.socket()
    if read_buffer:
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, read_buffer)
    await sock.connect(("127.0.0.1", scheduler.port))
    async with trio.SocketStream(sock) as stream:
        yield stream


def _head(scheduler: Scheduler, method: str, path: str, *more: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{scheduler.port}", *more]
    return "\r\n".join([*lines, f"Authorization: Bearer {ADMIN}", "", ""]).encode()


async def _until_served(scheduler: Scheduler) -> None:
    """A later request was answered: the earlier one has been taken up."""
    for _ in range(3):
        await scheduler.health()


def _is_stuck(scheduler: Scheduler) -> bool:
    """Does the kernel hold bytes for a client who has room for 4 kB?"""
    here = f":{scheduler.port:04X}"
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, _, state, queues, *_ = line.split()
        if local.endswith(here) and state == "01" and int(queues.partition(":")[0], 16) > 8_192:
            return True
    return False


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for children in tasks for word in children.read_text(encoding="ascii").split()]


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").exists()


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
