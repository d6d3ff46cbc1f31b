"""The scheduler as a whole process, and its board's command line, as tests hold them.

The rules are those of `tests.integration.processes`. The state directory is the process's alone: what it says
goes to files beside it.
"""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import trio

from scheduler.blackboard.store import Store
from tests.integration.processes import Running, ended, start, started_saying, stop, until

ADMIN = "admin-token-of-the-test"
TASKS = "/api/blackboard/tasks"

Wrap = Callable[[list[str]], list[str]]
"""From the scheduler's command line to one that starts it under something else."""


@dataclass
class Scheduler(Running):
    """A scheduler that serves."""

    state_dir: Path = field(default_factory=Path)
    port: int = 0
    metrics_port: int = 0
    http: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(trust_env=False, timeout=None))  # noqa: S113 - the test has one
    token: str = ADMIN

    @property
    def url(self) -> str:
        """Without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self) -> Path:
        """The board's file, where it is one."""
        return self.state_dir / "blackboard.db"

    async def get(self, path: str) -> httpx.Response:
        """As anybody on this machine."""
        return await self.http.get(self.url + path)

    async def json(self, path: str) -> Any:
        """What a page that is there says."""
        answer = await self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Mapping[str, object] | None = None) -> httpx.Response:
        """As the operator."""
        headers = {"authorization": f"Bearer {self.token}"}
        return await self.http.post(self.url + path, json=dict(body or {}), headers=headers)

    async def do(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """Likewise, and it must be done."""
        answer = await self.post(path, body)
        assert answer.is_success, answer.text
        return answer.json()

    async def create(self, title: str = "a task", **more: object) -> str:
        """The id of a new task."""
        made: str = (await self.do(TASKS, {"title": title, **more}))["id"]
        return made

    async def revise(self, task_id: str, **fields: object) -> None:
        """As the operator's `blackboard set`."""
        headers = {"authorization": f"Bearer {self.token}"}
        answer = await self.http.patch(f"{self.url}{TASKS}/{task_id}", json=fields, headers=headers)
        assert answer.is_success, answer.text

    async def task(self, task_id: str) -> dict[str, Any]:
        """As the API shows it, with all that belongs to it."""
        task: dict[str, Any] = await self.json(f"{TASKS}/{task_id}?full=1")
        return task

    async def until_task(self, task_id: str, *statuses: str, seconds: float = 15.0) -> dict[str, Any]:
        """The task, as soon as it stands so. Looks are asked for, because the daemon's own are far apart."""

        async def stands() -> bool:
            await self.do("/api/daemon/tick")
            return (await self.task(task_id))["status"] in statuses

        look: Callable[[], bool | Awaitable[bool]] = stands
        await until(look, seconds)
        return await self.task(task_id)

    async def health(self) -> tuple[int, dict[str, Any]]:
        """The status code and the page."""
        answer = await self.get("/health")
        return answer.status_code, answer.json()

    async def metrics(self) -> str:
        """Prometheus' page."""
        return (await self.http.get(f"http://127.0.0.1:{self.metrics_port}/metrics")).text


@asynccontextmanager
async def run_scheduler(
    directory: Path, *, env: Mapping[str, str] | None = None, wrap: Wrap = lambda argv: argv
) -> AsyncIterator[Scheduler]:
    """A scheduler with its state in `directory/state`; `env` adds settings or replaces them."""
    given = settings(directory, env)
    argv = wrap([sys.executable, "-m", "scheduler"])
    scheduler = Scheduler(*await start(argv, directory, "scheduler", given))
    scheduler.state_dir = Path(given["SCHEDULER_STATE_DIR"])
    scheduler.token = given.get("SCHEDULER_ADMIN_TOKEN", "")
    async with ended(scheduler), scheduler.http:
        told = await started_saying(scheduler, "scheduler_started")
        scheduler.port, scheduler.metrics_port = told["port"], told["metrics_port"]
        yield scheduler


def settings(directory: Path, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of a scheduler that has nobody around it: no sidecar, no OpenClaw, no roster."""
    return {
        "SCHEDULER_PORT": "0",
        "SCHEDULER_METRICS_PORT": "0",
        "SCHEDULER_ALERT_PORT": "",
        "SCHEDULER_STATE_DIR": str(directory / "state"),
        "SCHEDULER_SIDECAR_URL": "",
        "SCHEDULER_RUNNER": "demo",
        "SCHEDULER_ADMIN_TOKEN": ADMIN,
        "SCHEDULER_SPAWN_SPACING_SECONDS": "0",
        "HOME": str(directory),
        **(env or {}),
    }


@dataclass(frozen=True, slots=True)
class Said:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str


async def run_once(
    directory: Path, argv: Sequence[str], env: Mapping[str, str], *, seconds: float = 30.0
) -> Said:
    """`python -m …argv` until it ends by itself."""
    process, output, errors = await start([sys.executable, "-m", *argv], directory, "once", env)
    try:
        with trio.fail_after(seconds):
            code = await process.wait()
    finally:
        await stop(process)
    return Said(code, output.read_text(encoding="utf-8"), errors.read_text(encoding="utf-8"))


async def refused(directory: Path, env: Mapping[str, str] | None = None) -> Said:
    """A scheduler that is expected to end by itself."""
    return await run_once(directory, ["scheduler"], settings(directory, env))


async def blackboard(directory: Path, *argv: str, env: Mapping[str, str] | None = None) -> Said:
    """The board's command line, directly on the database that the settings name."""
    return await run_once(directory, ["scheduler.cli", *argv], settings(directory, env))


def open_store(scheduler: Scheduler) -> closing[Store]:
    """The board itself, beside the process that serves it."""
    url = f"sqlite:///{scheduler.database}"
    return closing(Store.open(url, artifacts=scheduler.state_dir / "artifacts", create=False))


def of_the_process(pid: int) -> str:
    """What every user of the machine can see of it, and what its owner can."""
    parts = (Path(f"/proc/{pid}") / name for name in ("cmdline", "environ"))
    return "\n".join(part.read_bytes().decode("utf-8", "replace") for part in parts)


def files_below(directory: Path) -> dict[Path, str]:
    """Everything that is kept there, whatever it is."""
    return {
        path: path.read_bytes().decode("latin-1")
        for path in directory.rglob("*")
        if path.is_file() and os.access(path, os.R_OK)
    }
