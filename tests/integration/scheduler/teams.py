"""A team around a scheduler: its roster, its heartbeats, whom it tells.

Heartbeats are due at full minutes, and no test waits for one. What a test does instead is what a daemon finds
that was away: a due time on the board that has just passed, and nobody there who fired it.
"""

import json
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import trio

from scheduler.blackboard import beats
from scheduler.blackboard.store import Store
from scheduler.core.beats import Beat, Planned
from shared import clock
from shared.serving import listen, serve
from tests.feishu_stand_in import PATH, FeishuStandIn
from tests.fresh_board import fresh_board
from tests.integration.processes import until
from tests.integration.scheduler.daemons import Scheduler, Wrap
from tests.on_the_board import history

CRON = "0 0 1 1 *"
"""Once a year: what fires in a test is what the test has made due."""
SECRET = "secret-of-the-bot"


def roster(directory: Path, agents: Mapping[str, Mapping[str, object]], **more: object) -> dict[str, str]:
    """Everybody's heartbeat is CRON. What the scheduler's environment says of it."""
    file = directory / "agents.yaml"
    team = {name: {"label": name.title(), "heartbeat": CRON, **rules} for name, rules in agents.items()}
    file.write_text(json.dumps({"timezone": "UTC", "missed": "run_once", "agents": team, **more}))
    return {"SCHEDULER_AGENTS_FILE": str(file)}


def hurried(*points: str) -> Wrap:
    """Instead of the scheduler: see `hurried`."""
    return lambda argv: [argv[0], "-m", "tests.integration.scheduler.hurried", *points]


def patient(argv: list[str]) -> list[str]:
    """Likewise: see `patient`."""
    return [argv[0], "-m", "tests.integration.scheduler.patient"]


# -- heartbeats --------------------------------------------------------------------------------------------


def opened(directory: Path) -> closing[Store]:
    """The board of the scheduler in `directory`, made where there is none; it need not run."""
    state = directory / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    file = state / "blackboard.db"
    url = f"sqlite:///{file}" if file.exists() else fresh_board(file)
    return closing(Store.open(url, artifacts=state / "artifacts"))


def make_due(directory: Path, *agents: str) -> float:
    """Their heartbeats are due from this moment on; when that is."""
    now = clock.wall()
    with opened(directory) as store:
        beats.plan(store, {agent: Planned(agent, now, f"{CRON} UTC") for agent in agents}, now)
    return now


def fired(directory: Path, agent: str) -> Sequence[Beat]:
    """The newest first."""
    with opened(directory) as store:
        return history(store, agent)


async def beat(scheduler: Scheduler, directory: Path, *agents: str, seconds: float = 15.0) -> list[Beat]:
    """A heartbeat of each, fired by the daemon that runs; what they came to."""
    due_at = make_due(directory, *agents)
    scheduler.process.send_signal(signal.SIGHUP)  # it reads the roster again, and the board
    return await until_fired(directory, due_at, *agents, seconds=seconds)


async def until_fired(directory: Path, due_at: float, *agents: str, seconds: float = 15.0) -> list[Beat]:
    """What the heartbeats came to that were due then."""

    def found() -> list[Beat] | None:
        made = [each for agent in agents for each in fired(directory, agent) if each.due_at == due_at]
        return made if len(made) == len(agents) else None

    return await until(found, seconds) or []


# -- who is told -------------------------------------------------------------------------------------------


@asynccontextmanager
async def feishu() -> AsyncIterator[tuple[FeishuStandIn, dict[str, Any]]]:
    """A bot, and the target in the roster that reaches it."""
    bot, shutdown = FeishuStandIn(secret=SECRET), trio.Event()
    async with trio.open_nursery() as nursery:
        run = partial(serve, bot.app, listen("127.0.0.1", 0), shutdown=shutdown, grace_seconds=1)
        _, port = await nursery.start(run)
        try:
            target = {"kind": "feishu", "webhook": f"http://127.0.0.1:{port}{PATH}", "secret": SECRET}
            yield bot, target
        finally:
            shutdown.set()


# -- what is seen ------------------------------------------------------------------------------------------


async def metric(scheduler: Scheduler, name: str) -> dict[str, float]:
    """Labels, as the page has them -> value."""
    page = await scheduler.metrics()
    found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", page, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


async def eventually(look: Callable[[], Awaitable[bool]], seconds: float = 15.0) -> None:
    """Wait until it is so."""
    seen: Callable[[], bool | Awaitable[bool]] = look
    await until(seen, seconds)


def steps(task: Mapping[str, Any]) -> list[str]:
    """What happened to it, without the signs of life."""
    return [each["what"] for each in task["events"]]
