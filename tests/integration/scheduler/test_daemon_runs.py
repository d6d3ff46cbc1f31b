"""The whole way of a task: created, started, answered by a model through the sidecar, done."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from shared import clock
from tests.integration.processes import Sidecar, Simulator, run_sidecar, run_simulator, until
from tests.integration.scheduler.daemons import (
    TASKS,
    blackboard,
    files_below,
    of_the_process,
    open_store,
    refused,
    run_scheduler,
)
from tests.openclaw_stand_in import StandIn

pytestmark = pytest.mark.integration

Records = list[dict[str, object]]

ADMIN, ALERT, PASSWORD = "canary-admin-5b1f", "canary-alert-77aa", "canary-database-c0de"

DUMP = """#!/bin/sh
# An openclaw that shows what it was given, and answers as one whose gateway is down.
{ env; printf '%s\\n' "$@"; } >> "$0.saw"
echo '{"ok":false,"error":{"type":"gateway_transport_error","message":"away","reason":"ECONNREFUSED"}}'
exit 1
"""


@pytest.mark.needs("minutes")
async def test_a_demonstration_from_end_to_end_is_one_model_request(tmp_path: Path) -> None:
    with trio.fail_after(60):
        async with (
            run_simulator(tmp_path) as simulator,
            run_sidecar(upstream=simulator.url, state_dir=_made(tmp_path / "sidecar")) as sidecar,
            run_scheduler(tmp_path, env=_beside(sidecar)) as scheduler,
        ):
            task = await scheduler.create("Say hello", assignee="demo")
            done = await scheduler.until_task(task, "done")
            assert [output["name"] for output in done["outputs"]] == ["answer.md"]
            answer = await scheduler.get(f"{TASKS}/{task}/outputs/answer.md")
            assert answer.text == "This is the simulated upstream."
            assert answer.headers["content-disposition"].startswith("attachment")
            assert len(await _chats(simulator)) == 1
            await until(lambda: scheduler.log_lines("session_archived"))
            assert not list((scheduler.state_dir / "tickets").iterdir())
            # Nothing more to do: no further call, however often it looks.
            for _ in range(5):
                await scheduler.do("/api/daemon/tick")
            assert len(await _chats(simulator)) == 1
            assert (await scheduler.json("/api/daemon/status"))["calls_avoided"] >= 5


@pytest.mark.needs("minutes")
async def test_work_goes_on_after_a_kill_in_the_middle_of_it(tmp_path: Path) -> None:
    """A demonstration's run dies with the process: the attempt is spent, and the second is done."""
    with trio.fail_after(90):
        async with (
            run_simulator(tmp_path, "--latency", "30") as simulator,
            run_sidecar(upstream=simulator.url, state_dir=_made(tmp_path / "sidecar")) as sidecar,
        ):
            async with run_scheduler(tmp_path, env=_beside(sidecar)) as first:
                task = await first.create("Say hello", assignee="demo")
                await until(lambda: first.log_lines("run_started"))

                look: Callable[[], Records | Awaitable[Records]] = partial(_chats, simulator)
                await until(look)
                await first.kill()
            await simulator.configure(latency=0)
            async with run_scheduler(tmp_path, env=_beside(sidecar)) as second:
                await until(lambda: second.log_lines("run_ended"))
                back = await second.task(task)
                assert (back["status"], back["attempt"], back["epoch"]) == ("pending", 1, 1)
                await second.http.patch(
                    f"{second.url}{TASKS}/{task}",
                    json={"not_before": "2020-01-01T00:00:00Z"},
                    headers={"authorization": f"Bearer {second.token}"},
                )
                done = await second.until_task(task, "done")
                assert (done["attempt"], done["epoch"]) == (2, 2)


@pytest.mark.needs("minutes")
async def test_a_run_in_the_gateway_outlives_every_death_of_the_daemon_and_is_started_once(
    tmp_path: Path,
) -> None:
    stand_in = StandIn(_made(tmp_path / "openclaw"))
    stand_in.script(ends="never")
    env = {"SCHEDULER_RUNNER": "openclaw", "SCHEDULER_OPENCLAW": str(stand_in.program)}
    with trio.fail_after(90):
        async with run_scheduler(tmp_path, env=env) as scheduler:
            task = await scheduler.create(assignee="ops")
            await until(lambda: stand_in.starts_of(f"{task}.1"))
            await scheduler.kill()
        for _ in range(2):
            async with run_scheduler(tmp_path, env=env) as scheduler:
                await scheduler.do("/api/daemon/tick")
                assert (await scheduler.task(task))["epoch"] == 1
                await scheduler.kill()
        stand_in.finish(f"{task}.1", "It is done.")
        async with run_scheduler(tmp_path, env=env) as scheduler:
            done = await scheduler.until_task(task, "done")
            assert (done["epoch"], done["attempt"]) == (1, 1)
        assert len(stand_in.starts()) == 1


@pytest.mark.needs("minutes")
@pytest.mark.needs("/proc")
async def test_no_secret_is_found_where_it_does_not_belong(tmp_path: Path) -> None:
    """Not in what it says, shows or keeps, and not in what it hands to the commands that it calls."""
    program = tmp_path / "openclaw"
    program.write_text(DUMP)
    program.chmod(0o755)
    url = f"postgresql://board:{PASSWORD}@127.0.0.1:1/board"
    env = {
        "SCHEDULER_ADMIN_TOKEN": ADMIN,
        "SCHEDULER_ALERT_TOKEN": ALERT,
        "SCHEDULER_RUNNER": "openclaw",
        "SCHEDULER_OPENCLAW": str(program),
        "SCHEDULER_LOG_LEVEL": "DEBUG",
        "AUDIT_STORAGE_TYPE": "file",
        "AUDIT_FLUSH_INTERVAL": "0.1",
        "BLACKBOARD_CLAIM": "canary-claim-of-the-shell",
        "NVIDIA_API_KEY": "canary-nvidia",
        "SIDECAR_API_KEY": "canary-sidecar",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    with trio.fail_after(60):
        shown: list[str] = []
        async with run_scheduler(tmp_path, env=env) as scheduler:
            await scheduler.create(f"is {ADMIN} a title?"[:3], assignee="ops")
            claimed = await scheduler.do(f"{TASKS}/{await scheduler.create()}/claim", {"agent": "ops"})
            secret = claimed["claim"].rpartition(".")[2]
            for token in (claimed["claim"], f"{claimed['claim'][:-2]}xx", f"{ADMIN}x", "x"):
                answer = await scheduler.http.post(
                    f"{scheduler.url}{TASKS}/{claimed['id']}/decide",
                    json={"accept": True, "by": "ops"},
                    headers={"authorization": f"Bearer {token}"},
                )
                assert answer.status_code in {401, 403}
                shown.append(answer.text)
            stale = {"claim": f"{claimed['id']}.7.{secret}"}
            shown.append((await scheduler.post(f"{TASKS}/{claimed['id']}/heartbeat", stale)).text)
            await scheduler.do("/api/daemon/tick")
            pages = ("/health", "/version", "/api/daemon/status", TASKS, "/openapi.json", "/", "/nothing")
            shown += [(await scheduler.get(page)).text for page in pages]
            shown += [str(await scheduler.task(claimed["id"])), await scheduler.metrics()]
            shown.append(of_the_process(scheduler.process.pid).partition("\n")[0])
        saw = (tmp_path / "openclaw.saw").read_text()
        assert "HTTP_PROXY=http://127.0.0.1:9" in saw
        assert "PATH=" in saw
        shown += [scheduler.said(), saw]
        kept = files_below(tmp_path / "state")
        shown += kept.values()
        said = await refused(_made(tmp_path / "other"), {**env, "SCHEDULER_DATABASE_URL": url})
        shown += [said.stdout, said.stderr]
        said = await blackboard(tmp_path, "list", "--db", url)
        shown += [said.stdout, said.stderr]
    for text in shown:
        assert "canary" not in text, text[max(0, text.index("canary") - 200) :][:400]
        assert secret not in text


@pytest.mark.needs("minutes")
async def test_the_ticket_alone_holds_the_key_of_a_run(tmp_path: Path) -> None:
    stand_in = StandIn(_made(tmp_path / "openclaw"))
    stand_in.script(ends="never")
    env = {
        "SCHEDULER_RUNNER": "openclaw",
        "SCHEDULER_OPENCLAW": str(stand_in.program),
        "SCHEDULER_LOG_LEVEL": "DEBUG",
    }
    with trio.fail_after(60):
        async with run_scheduler(tmp_path, env=env) as scheduler:
            task = await scheduler.create(assignee="ops")
            await until(lambda: stand_in.starts_of(f"{task}.1"))
            (ticket,) = (scheduler.state_dir / "tickets").iterdir()
            said = await blackboard(
                tmp_path, "--ticket", str(ticket), "output", "--text", "by ticket", "--final"
            )
            assert said.code == 0, said.stderr
            done = await scheduler.until_task(task, "done", "review")
            assert done["outputs"][0]["size_bytes"] == len("by ticket")
            claim = ticket.read_text().partition('"claim": "')[2].partition('"')[0]
            page = await scheduler.metrics()
            await scheduler.kill()
    secret = claim.rpartition(".")[2]
    assert len(secret) > 20
    (start,) = stand_in.starts()
    for text in (start.message, page, scheduler.said(), said.stdout, str(stand_in.calls())):
        assert secret not in text
    kept = {path for path, text in files_below(tmp_path).items() if secret in text}
    assert kept <= {ticket}


@pytest.mark.needs("minutes")
async def test_nobody_is_paid_for_what_was_written_by_hand(tmp_path: Path) -> None:
    """A task that somebody claims and does by hand is accepted, and nothing is started for it."""
    with trio.fail_after(60):
        async with run_scheduler(tmp_path) as scheduler:
            task = await scheduler.create()
            with open_store(scheduler) as store:
                claimed = store.claim(task, agent="ann", now=clock.wall(), lease_seconds=60)
            await scheduler.do(
                f"{TASKS}/{task}/output", {"text": "done", "final": True, "claim": str(claimed.token)}
            )
            await scheduler.until_task(task, "done")
            assert not scheduler.log_lines("run_started")


def _beside(sidecar: Sidecar) -> dict[str, str]:
    return {"SCHEDULER_SIDECAR_URL": f"http://127.0.0.1:{sidecar.port}"}


async def _chats(simulator: Simulator) -> Records:
    return await simulator.requests("/v1/chat/completions")


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
