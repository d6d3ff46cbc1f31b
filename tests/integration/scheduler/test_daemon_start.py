"""The scheduler starts and says so, or says in a line what is in the way and ends."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import stat
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.processes import run_sidecar, started_saying, until
from tests.integration.scheduler.daemons import (
    TASKS,
    Scheduler,
    blackboard,
    open_store,
    refused,
    run_once,
    run_scheduler,
    settings,
)

pytestmark = [pytest.mark.integration, pytest.mark.needs("minutes")]


async def test_the_manager_hears_ready_then_signs_of_life_then_stopping(tmp_path: Path) -> None:
    with trio.fail_after(30), trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM) as manager:
        await manager.bind(str(tmp_path / "notify"))
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        async with run_scheduler(tmp_path, env=env) as scheduler:
            heard = [(await manager.recv(100)).decode() for _ in range(5)]
            assert sorted(heard) == ["READY=1", *["WATCHDOG=1"] * 4]
            scheduler.process.terminate()
            while (word := (await manager.recv(100)).decode()) == "WATCHDOG=1":
                pass
            assert word == "STOPPING=1"
            assert await scheduler.process.wait() == 0


async def test_everything_in_the_state_directory_is_its_owners_alone(tmp_path: Path) -> None:
    """Also below a generous umask, and also what is made later: outputs, tickets, audit files."""
    before = os.umask(0)
    try:
        with trio.fail_after(30):
            env = {"AUDIT_STORAGE_TYPE": "file", "AUDIT_FLUSH_INTERVAL": "0.1", "SCHEDULER_ADMIN_TOKEN": ""}
            async with run_scheduler(tmp_path, env=env) as scheduler:
                scheduler.token = (scheduler.state_dir / "scheduler-admin-token").read_text().strip()
                await scheduler.create(assignee="demo")
                look: Callable[[], bool | Awaitable[bool]] = partial(_archived, scheduler)
                await until(look)
                text = {"text": "an output", "name": "notes.md"}
                claim = await scheduler.do(f"{TASKS}/{await scheduler.create()}/claim", {"agent": "ops"})
                headers = {"authorization": f"Bearer {claim['claim']}"}
                url = f"{scheduler.url}{TASKS}/{claim['id']}/output"
                assert (await scheduler.http.post(url, json=text, headers=headers)).is_success
                await until((scheduler.state_dir / "audit" / "audit.jsonl").exists)
                found = {path: stat.S_IMODE(path.stat().st_mode) for path in scheduler.state_dir.rglob("*")}
                found[scheduler.state_dir] = stat.S_IMODE(scheduler.state_dir.stat().st_mode)
            found |= {path: stat.S_IMODE(path.stat().st_mode) for path in scheduler.state_dir.rglob("*")}
    finally:
        os.umask(before)
    names = {path.name for path in found}
    assert {"artifacts", "tickets", "audit", "scheduler-admin-token", "scheduler.lock"} <= names
    assert {"blackboard.db", "blackboard.db-wal", "blackboard.db-shm", "notes.md"} <= names
    wrong = {
        str(path): oct(mode) for path, mode in found.items() if mode != (0o700 if path.is_dir() else 0o600)
    }
    assert not wrong


async def _archived(scheduler: Scheduler) -> bool:
    """A run without a sidecar fails, and its transcript is the first thing that is kept of any task."""
    await scheduler.do("/api/daemon/tick")
    return bool(scheduler.log_lines("session_archived"))


async def test_the_admin_token_is_made_once_and_kept(tmp_path: Path) -> None:
    with trio.fail_after(30):
        tokens = []
        for _ in range(2):
            async with run_scheduler(tmp_path, env={"SCHEDULER_ADMIN_TOKEN": ""}) as scheduler:
                scheduler.token = (scheduler.state_dir / "scheduler-admin-token").read_text().strip()
                assert len(scheduler.token) >= 32
                await scheduler.create()
                tokens.append(scheduler.token)
                scheduler.token = "another"
                assert (await scheduler.post(TASKS, {"title": "x"})).status_code == 401
        assert tokens[0] == tokens[1]


async def test_at_a_hang_up_it_reads_the_roster_again_whole_or_not_at_all(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with run_scheduler(tmp_path) as scheduler:
            roster = scheduler.state_dir / "agents.yaml"

            async def after_a_hang_up(text: str, event: str) -> dict[str, Any]:
                roster.write_text(text)
                scheduler.process.send_signal(signal.SIGHUP)
                return await started_saying(scheduler, event)

            assert (await after_a_hang_up("agents: {coo: {}, qa: {}}", "roster_changed"))["agents"] == 2
            said = await after_a_hang_up("timezone: Mars\nagents: {coo: {class: knight}}", "roster_refused")
            assert [problem.split()[0] for problem in said["problems"]] == ["timezone", "agents.coo.class"]
            assert 'agent_name="qa"' in await scheduler.metrics()

            env = settings(tmp_path, {"SCHEDULER_PORT": str(scheduler.port)})
            refused = await run_once(tmp_path, ["scheduler", "reload"], env)
            assert (refused.code, len(refused.stderr.splitlines())) == (2, 2)
            roster.write_text("agents: {coo: {}}")
            done = await run_once(tmp_path, ["scheduler", "reload"], env)
            assert (done.code, done.stdout) == (0, f"{roster}: coo\n")
            roster.write_text(f"agents: {{{', '.join(f'a{number}: {{}}' for number in range(15))}}}")
            done = await run_once(tmp_path, ["scheduler", "reload"], env)
            assert (done.code, done.stdout) == (0, f"{roster}: 15 agents\n")
            roster.unlink()
            gone = await run_once(tmp_path, ["scheduler", "reload"], env)
            assert (gone.code, gone.stderr) == (2, f"{roster} is not there; the old roster holds\n")
            assert 'agent_name="a14"' in await scheduler.metrics()
            assert (await scheduler.health())[0] == 200


async def test_an_obstacle_is_named_in_one_line_and_the_state_directory_let_go(tmp_path: Path) -> None:
    """A port that somebody has, a state directory that another scheduler has."""
    other = tmp_path / "other"
    other.mkdir()
    with trio.fail_after(60):
        async with run_scheduler(tmp_path) as first:
            second = await refused(tmp_path)
            assert second.code == 1
            (line,) = second.stderr.splitlines()
            assert f"the state directory {first.state_dir} is in use by process {first.process.pid}" in line
            assert "scheduler.lock" in line
            for which, port in (
                ("SCHEDULER_PORT", first.port),
                ("SCHEDULER_METRICS_PORT", first.metrics_port),
            ):
                said = await refused(other, {which: str(port)})
                assert said.code == 1
                assert said.stderr == f"cannot listen on 127.0.0.1:{port}: address already in use\n"
        async with run_scheduler(other):
            pass


async def test_two_schedulers_on_one_board_are_one_too_many_wherever_their_state_is(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with trio.fail_after(30):
        async with run_scheduler(tmp_path) as first:
            said = await refused(other, {"SCHEDULER_DATABASE_URL": f"sqlite:///{first.database}"})
            assert said.code == 1
            (line,) = said.stderr.splitlines()
            assert str(first.process.pid) in line


@pytest.mark.needs("postgresql")
async def test_two_schedulers_on_one_postgresql_are_one_too_many(tmp_path: Path, postgres_url: str) -> None:
    other = tmp_path / "other"
    other.mkdir()
    env = {"SCHEDULER_DATABASE_URL": postgres_url}
    with trio.fail_after(60):
        async with run_scheduler(tmp_path, env=env) as first:
            await first.create()
            said = await refused(other, env)
            assert said.code == 1
            (line,) = said.stderr.splitlines()
            assert "another scheduler" in line
            await first.kill()
        async with run_scheduler(other, env=env):
            pass


async def test_a_sidecar_and_a_scheduler_share_a_state_directory(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with (
            run_scheduler(tmp_path) as scheduler,
            run_sidecar(upstream="http://127.0.0.1:9", state_dir=scheduler.state_dir),
        ):
            assert (await scheduler.health())[0] == 200


async def test_all_that_is_wrong_with_the_settings_is_said_at_once(tmp_path: Path) -> None:
    wrong = {
        "SCHEDULER_TICK_SECONDS": "soon",
        "SCHEDULER_MAX_ATTEMPTS": "-1",
        "SCHEDULER_RUNNER": "robot",
        "SCHEDULER_DATABASE_URL": "postgresql://u:hunter2@host/data base",
        "AUDIT_STORAGE_TYPE": "paper",
        "SCHEDULER_TICK_SECOND": "60",
    }
    for argv in (["scheduler"], ["scheduler", "check"]):
        said = await run_once(tmp_path, argv, settings(tmp_path, wrong))
        assert said.code == 2
        assert all(name in said.stderr for name in wrong), said.stderr
        assert "hunter2" not in said.stderr
        assert "Traceback" not in said.stderr
    assert not (tmp_path / "state").exists()


async def test_all_that_is_wrong_with_the_roster_is_said_at_once(tmp_path: Path) -> None:
    roster = tmp_path / "agents.yaml"
    roster.write_text(
        "agents:\n  ops: {class: nobody}\n  dev: {class: frequent, heartbeat: 'every day'}\nfoo: 1\n"
    )
    said = await refused(tmp_path, {"SCHEDULER_AGENTS_FILE": str(roster)})
    assert said.code == 2
    assert str(roster) in said.stderr
    for wrong in ("nobody", "every day", "foo"):
        assert wrong in said.stderr
    assert "Traceback" not in said.stderr


async def test_check_shows_every_setting_with_its_source_and_no_secret(tmp_path: Path) -> None:
    env = {
        "SCHEDULER_ADMIN_TOKEN": "canary-admin",
        "SCHEDULER_ALERT_TOKEN": "canary-alert",
        "SCHEDULER_DATABASE_URL": "postgresql://board:canary-database@127.0.0.1/board",
    }
    for options in ([], ["--json"]):
        said = await run_once(tmp_path, ["scheduler", "check", *options], settings(tmp_path, env))
        assert said.code == 0, said.stderr
        assert "canary" not in said.stdout + said.stderr
        if options:
            assert json.loads(said.stdout)
        else:
            assert "SCHEDULER_TICK_SECONDS" in said.stdout
            assert "postgresql://board:****@127.0.0.1/board" in said.stdout
    assert not (tmp_path / "state").exists()


async def test_its_version_needs_no_settings(tmp_path: Path) -> None:
    said = await run_once(tmp_path, ["scheduler", "--version"], {"SCHEDULER_PORT": "wrong"})
    assert (said.code, said.stderr) == (0, "")
    assert said.stdout.startswith("agent-scheduler ")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        pytest.param(b"this is no database at all" * 400, "not a database", id="garbage"),
        pytest.param(None, "malformed", id="holes"),
    ],
)
async def test_a_board_that_cannot_be_read_ends_the_start_in_a_line(
    tmp_path: Path, content: bytes | None, word: str
) -> None:
    with trio.fail_after(30):
        async with run_scheduler(tmp_path) as scheduler:
            await scheduler.create()
            database = scheduler.database
    whole = database.read_bytes()
    database.write_bytes(content if content is not None else whole[:4096] + os.urandom(len(whole) - 4096))
    said = await refused(tmp_path)
    assert said.code == 1
    (line,) = said.stderr.splitlines()
    assert word in line
    assert str(database) in line
    if content is not None:
        assert database.read_bytes() == content, "what is not ours is not touched"


@pytest.mark.parametrize("what", ["a directory in its place", "a foreign table", "a newer release"])
async def test_what_is_not_our_board_is_left_alone(tmp_path: Path, what: str) -> None:
    with trio.fail_after(30):
        async with run_scheduler(tmp_path) as scheduler:
            database = scheduler.database
        if what == "a directory in its place":
            database.unlink()
            database.mkdir()
        else:
            connection = sqlite3.connect(database)
            if what == "a newer release":
                connection.execute("UPDATE alembic_version SET version_num = '9999'")
            else:
                for (name,) in connection.execute(
                    "SELECT name FROM sqlite_master WHERE type='table'"
                ).fetchall():
                    if not name.startswith("sqlite_"):
                        connection.execute(f"DROP TABLE {name}")
                connection.execute("CREATE TABLE customers (id INTEGER)")
            connection.commit()
            connection.close()
        said = await refused(tmp_path)
    assert said.code == 1, said
    (line,) = said.stderr.splitlines()
    assert str(database) in line


async def test_a_postgresql_that_is_not_there_or_refuses_is_named_without_the_password(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    url = f"postgresql://board:canary-database@127.0.0.1:{port}/board"
    said = await refused(tmp_path, {"SCHEDULER_DATABASE_URL": url})
    assert said.code == 1
    assert "canary" not in said.stdout + said.stderr
    assert "Traceback" not in said.stderr
    assert f"127.0.0.1:{port}" in said.stderr


@pytest.mark.needs("postgresql")
async def test_a_wrong_password_is_told_without_the_password(tmp_path: Path, postgres_url: str) -> None:
    before, _, after = postgres_url.partition("@")
    url = f"{before.rpartition(':')[0]}:canary-database@{after}"
    said = await refused(tmp_path, {"SCHEDULER_DATABASE_URL": url})
    assert said.code == 1
    assert "canary" not in said.stdout + said.stderr
    assert "password" in said.stderr
    assert "Traceback" not in said.stderr


async def test_a_state_directory_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    roster = tmp_path / "agents.yaml"
    roster.write_text("agents: {}\n")
    said = await refused(tmp_path, {"SCHEDULER_AGENTS_FILE": str(roster)})
    assert said.code == 1
    (line,) = said.stderr.splitlines()
    assert line.startswith(f"cannot use the state directory {tmp_path / 'state'}: ")


async def test_the_command_line_works_on_the_board_while_the_daemon_does_and_after(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with run_scheduler(tmp_path) as scheduler:
            made = await blackboard(tmp_path, "create", "--title", "by hand", "--json")
            task = json.loads(made.stdout)["id"]
            assert (await scheduler.task(task))["title"] == "by hand"
        read = await blackboard(tmp_path, "read", task, "--json")
        assert json.loads(read.stdout)["title"] == "by hand"
        shutil.rmtree(scheduler.state_dir / "artifacts", ignore_errors=True)
        with open_store(scheduler) as store:
            assert store.task(task).creator
