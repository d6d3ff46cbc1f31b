"""Messages on their whole way: from Alertmanager or a task to a bot, over real connections."""

import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio
from pydantic import SecretStr

from scheduler.alerts import build_bridge
from scheduler.blackboard import outbox
from scheduler.blackboard.board import Board
from scheduler.blackboard.store import Store
from scheduler.core.records import Notice
from scheduler.gateway import Gateway
from scheduler.notifications import FeishuSender, Notifier, OpenClawSender
from scheduler.roster import FeishuTarget, OpenClawTarget
from shared import clock
from shared.asgi import App
from shared.guard import Guard
from shared.serving import listen, serve
from tests.core.scheduler.test_letters import a_roster
from tests.edge.scheduler.office import Denials
from tests.feishu_stand_in import PATH, FeishuStandIn
from tests.fresh_board import fresh_board
from tests.integration.openclaw import OPENCLAW, environment
from tests.integration.processes import Running, ended, start, until
from tests.integration.scheduler.daemons import run_scheduler

pytestmark = pytest.mark.integration

TOKEN = "token-of-the-alert-bridge"
SECRET = "secret-of-the-bot"
ALERTMANAGER = "prometheus-alertmanager"
"""What Debian calls it."""


@asynccontextmanager
async def serving(app: App) -> AsyncIterator[int]:
    """Its port."""
    shutdown = trio.Event()
    async with trio.open_nursery() as nursery:
        run = partial(serve, app, listen("127.0.0.1", 0), shutdown=shutdown, grace_seconds=1)
        _, port = await nursery.start(run)
        try:
            yield port
        finally:
            shutdown.set()


def bot_at(port: int) -> FeishuTarget:
    return FeishuTarget(SecretStr(f"http://127.0.0.1:{port}{PATH}"), SecretStr(SECRET))


@dataclass
class Bridge:
    store: Store
    bot: FeishuStandIn
    notifier: Notifier
    port: int


@asynccontextmanager
async def bridged(directory: Path) -> AsyncIterator[Bridge]:
    """A bridge on a port, and a notifier that tells a bot on another."""
    bot, sender = FeishuStandIn(secret=SECRET), FeishuSender()
    with closing(Store.open(fresh_board(directory / "board.db"), artifacts=directory / "artifacts")) as store:
        board = Board(store)
        async with serving(bot.app) as bot_port, trio.open_nursery() as nursery:
            roster = a_roster(critical=bot_at(bot_port), warning=bot_at(bot_port))
            notifier = Notifier(
                board, lambda: roster, openclaw=OpenClawSender(Gateway(["false"], {})), feishu=sender
            )
            nursery.start_soon(notifier.run)
            app = build_bridge(
                board,
                TOKEN,
                listen_host="127.0.0.1",
                roster=lambda: roster,
                told=notifier.wake,
                record=Denials(),
            )
            async with serving(Guard(app, allowed_hosts=(), listen_host="127.0.0.1")) as port:
                yield Bridge(store, bot, notifier, port)
            nursery.cancel_scope.cancel()
    await sender.aclose()


CONFIGURATION = """\
route:
  receiver: clawpace
  group_by: [alertname]
  group_wait: 1s
  group_interval: 1s
  repeat_interval: 1s
receivers:
  - name: clawpace
    webhook_configs:
      - url: http://127.0.0.1:{port}/webhook
        send_resolved: true
        http_config:
          authorization: {{credentials: {token}}}
"""


@dataclass
class Alertmanager(Running):
    port: int = 0

    async def alert(self, *, over: bool = False, **labels: str) -> None:
        """As Prometheus sends it."""
        now = datetime.fromtimestamp(clock.wall(), UTC)
        alert = {
            "labels": {"alertname": "HostDown", **labels},
            "annotations": {"summary": "it is down"},
            "startsAt": (now - timedelta(minutes=5)).isoformat(),
            "generatorURL": "http://prometheus.example/graph",
            **({"endsAt": now.isoformat()} if over else {}),
        }
        async with httpx.AsyncClient(trust_env=False) as client:
            address = f"http://127.0.0.1:{self.port}/api/v2/alerts"
            assert (await client.post(address, json=[alert])).status_code == 200


@asynccontextmanager
async def alertmanager(directory: Path, bridge_port: int) -> AsyncIterator[Alertmanager]:
    """The real one, which tells the bridge."""
    configuration = directory / "alertmanager.yml"
    configuration.write_text(CONFIGURATION.format(port=bridge_port, token=TOKEN))
    with closing(listen("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [
        shutil.which(ALERTMANAGER) or ALERTMANAGER,
        f"--config.file={configuration}",
        f"--storage.path={directory / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    running = Alertmanager(
        *await start(argv, directory, "alertmanager", {"PATH": os.environ["PATH"]}), port=port
    )

    async def ready() -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                return (await client.get(f"http://127.0.0.1:{port}/-/ready")).status_code == 200
            except httpx.TransportError:
                return False

    look: Callable[[], bool | Awaitable[bool]] = ready
    async with ended(running):
        await until(look, 30)
        yield running


@pytest.mark.needs(ALERTMANAGER)
async def test_alertmanager_tells_a_bot_once_and_again_when_it_is_over(tmp_path: Path) -> None:
    """It repeats itself every second here; who reads the messages does not see that."""
    with trio.fail_after(90):
        async with bridged(tmp_path) as bridge, alertmanager(tmp_path, bridge.port) as real:
            await real.alert(severity="critical", instance="db:9100")
            await until(lambda: bridge.bot.texts == ["FIRING: HostDown"], 30)
            await real.alert(severity="warning", instance="web:9100")
            await until(lambda: len(bridge.bot.texts) == 2, 30)
            await real.alert(over=True, severity="critical", instance="db:9100")
            await until(lambda: "RESOLVED: HostDown" in bridge.bot.texts, 30)
    assert bridge.bot.texts == ["FIRING: HostDown", "FIRING: HostDown", "RESOLVED: HostDown"]
    assert not bridge.bot.refused
    assert [message["card"]["header"]["template"] for message in bridge.bot.messages] == [
        "red",
        "orange",
        "green",
    ]


def agents_file(directory: Path, webhook: str) -> dict[str, str]:
    """Settings of a scheduler whose creators are told by a bot."""
    (directory / "webhook").write_text(webhook)
    (directory / "secret").write_text(SECRET)
    for name in ("webhook", "secret"):
        (directory / name).chmod(0o600)
    target = {"kind": "feishu", "webhook_file": f"{directory}/webhook", "secret_file": f"{directory}/secret"}
    file = directory / "agents.yaml"
    file.write_text(json.dumps({"notify": {"default": target}}))
    return {"SCHEDULER_AGENTS_FILE": str(file)}


async def test_a_task_that_failed_is_told_by_the_bot_over_a_restart_and_no_secret_is_logged(
    tmp_path: Path,
) -> None:
    """The bot is away when it happens; the scheduler is killed before it is back."""
    bot = FeishuStandIn(secret=SECRET)
    with closing(listen("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = agents_file(tmp_path, f"http://127.0.0.1:{port}{PATH}")
    with trio.fail_after(90):
        async with run_scheduler(tmp_path, env=env) as scheduler:
            task = await scheduler.create(assignee="demo", max_attempts=1)
            await scheduler.until_task(task, "failed")
            await until(lambda: bool(scheduler.log_lines("notification_delayed")), 20)
            said = scheduler.said()
            await scheduler.kill()
        shutdown = trio.Event()
        async with trio.open_nursery() as nursery:
            run = partial(serve, bot.app, listen("127.0.0.1", port), shutdown=shutdown, grace_seconds=1)
            await nursery.start(run)
            async with run_scheduler(tmp_path, env=env) as scheduler:
                await until(lambda: bool(bot.messages), 40)
                assert await scheduler.terminate() == 0
                said += scheduler.said()
            shutdown.set()
    (text,) = bot.texts
    assert text.startswith(f"{task} a task: failed")
    assert PATH.rpartition("/")[2] not in said
    assert SECRET not in said


@pytest.mark.needs("openclaw")
async def test_the_real_openclaw_says_whether_a_channel_exists(tmp_path: Path) -> None:
    """Neither reaches anybody: one channel does not exist, the other has no gateway to send it."""
    sender, feishu = OpenClawSender(Gateway(OPENCLAW, environment(tmp_path))), FeishuSender()
    roster = a_roster(coo=OpenClawTarget("nosuch", "1"), ann=OpenClawTarget("telegram", "-100123"))
    text = "--dry-run is no option here"
    with (
        trio.fail_after(120),
        closing(Store.open(fresh_board(tmp_path / "board.db"), artifacts=tmp_path / "artifacts")) as store,
    ):
        store.tell([Notice(to, to, text, clock.wall()) for to in ("coo", "ann")])
        notifier = Notifier(Board(store), lambda: roster, openclaw=sender, feishu=feishu)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(notifier.run)
            await until(lambda: set(notifier.failing) == {"coo", "ann"} and store.notices_count() == 1, 90)
            nursery.cancel_scope.cancel()
        (ann,) = outbox.unsent(store, ["coo", "ann"], 10)
    assert "Unknown channel" in notifier.failing["coo"]
    assert (ann.notice.to, ann.tries > 0) == ("ann", True)
