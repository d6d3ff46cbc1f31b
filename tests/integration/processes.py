"""Whole processes, as an integration test holds them: started from this interpreter, stopped by pid.

The rule: a process that a test starts gets its settings from the test alone (an environment of our own, not
the machine's), listens on a free loopback port, says itself that it serves, and is over when its block ends,
with the exit code that the test expects. Output goes to files, because a pipe that nobody reads stops its
writer and one that a grandchild inherits never ends.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from inspect import isawaitable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import trio

T = TypeVar("T")

START_SECONDS = 20.0
STOP_SECONDS = 45.0  # more than the sidecar's own default drain
# What Python needs to start, and what carries coverage into a child.
INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Running:
    """A process and what it has written. `exit_code` is what the end of its block expects."""

    process: trio.Process
    output: Path
    errors: Path
    exit_code: int = 0

    def log_lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """The JSON lines on its stdout; only those of `event`, if given."""
        # What follows the last newline may be half a line.
        complete = self.output.read_text(encoding="utf-8").split("\n")[:-1]
        lines: list[dict[str, Any]] = [json.loads(line) for line in complete if line.startswith("{")]
        return [line for line in lines if event is None or line.get("event") == event]

    async def terminate(self) -> int:
        """SIGTERM, as a service manager sends it; returns the exit code."""
        self.process.terminate()
        return await self.process.wait()

    async def kill(self) -> None:
        """SIGKILL, as a power cut would; the block's end then expects just that."""
        self.exit_code = -signal.SIGKILL
        self.process.kill()
        await self.process.wait()

    def said(self) -> str:
        """All its output, for the message of a failed assertion."""
        return self.output.read_text(errors="replace") + self.errors.read_text(errors="replace")


@dataclass
class Simulator(Running):
    """``nvidia-sim`` with its control endpoints."""

    url: str = ""
    port: int = 0

    async def stats(self) -> dict[str, Any]:
        answer: dict[str, Any] = await self._control("GET", "stats")
        return answer

    async def requests(self, path: str | None = None) -> list[dict[str, Any]]:
        """What arrived, oldest first; only on `path`, if given."""
        records: list[dict[str, Any]] = await self._control("GET", "requests?limit=1000")
        return [record for record in records if path is None or record["path"] == path]

    async def fault(self, kind: str, count: int | None = None, **more: object) -> None:
        await self._control("POST", "fault", {"kind": kind, **({"count": count} if count else {}), **more})

    async def configure(self, **settings: object) -> None:
        await self._control("POST", "settings", settings)

    async def _control(self, method: str, what: str, body: object = None) -> Any:
        async with httpx.AsyncClient(trust_env=False) as client:
            address = f"http://127.0.0.1:{self.port}/_sim/{what}"
            answer = await client.request(method, address, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()


@dataclass
class Sidecar(Running):
    url: str = ""
    """What a client is given as its base URL, ``/v1`` included."""
    port: int = 0
    metrics_port: int = 0


@asynccontextmanager
async def run_simulator(directory: Path, *options: str) -> AsyncIterator[Simulator]:
    """`options` as on the command line of ``nvidia-sim``; its output goes to `directory`."""
    argv = [sys.executable, "-m", "proxy.simulator", "--port", "0", *options]
    simulator = Simulator(*await start(argv, directory, "nvidia-sim", {}))
    async with ended(simulator):
        started = await started_saying(simulator, "nvidia_sim_started")
        simulator.url, simulator.port = started["url"], started["port"]
        yield simulator


@asynccontextmanager
async def run_sidecar(
    *, upstream: str, state_dir: Path, env: Mapping[str, str] | None = None
) -> AsyncIterator[Sidecar]:
    """A sidecar with a key of its own; `env` adds settings or replaces them."""
    settings = {
        "SIDECAR_HOST": "127.0.0.1",
        "SIDECAR_PORT": "0",
        "SIDECAR_METRICS_PORT": "0",
        "SIDECAR_UPSTREAM": upstream,
        "SIDECAR_API_KEY": "nvapi-of-the-sidecar",
        "SIDECAR_STATE_DIR": str(state_dir),
        "HOME": str(state_dir),
        **(env or {}),
    }
    argv = [sys.executable, "-m", "proxy"]
    sidecar = Sidecar(*await start(argv, state_dir, "sidecar", settings))
    async with ended(sidecar):
        started = await started_saying(sidecar, "sidecar_started")
        sidecar.port, sidecar.metrics_port = started["port"], started["metrics_port"]
        sidecar.url = f"http://127.0.0.1:{sidecar.port}/v1"
        yield sidecar


async def start(
    argv: Sequence[str], directory: Path, name: str, env: Mapping[str, str]
) -> tuple[trio.Process, Path, Path]:
    """Start `argv`; returns the process and the files of its stdout and stderr."""
    output, errors = _file(directory, name, ".out"), _file(directory, name, ".err")
    inherited = {key: os.environ[key] for key in INHERITED if key in os.environ}
    # Opened by the parent and closed at once: the child has its own copies.
    with output.open("wb") as out, errors.open("wb") as err:
        process = await trio.lowlevel.open_process(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=ROOT,
            env={**inherited, "PYTHONUNBUFFERED": "1", **env},
        )
    return process, output, errors


async def stop(process: trio.Process, seconds: float = STOP_SECONDS) -> bool:
    """SIGTERM and, as a last resort, SIGKILL, whatever cancels the test; False if it came to that."""
    with trio.CancelScope(shield=True):
        if process.poll() is None:
            process.terminate()
        with trio.move_on_after(seconds) as patience:
            await process.wait()
        if patience.cancelled_caught:
            process.kill()
            await process.wait()
    return not patience.cancelled_caught


async def until(look: Callable[[], T | Awaitable[T]], seconds: float = 10.0) -> T:
    """What `look` returns, as soon as it is true: how a test waits for what another process shows."""
    with trio.fail_after(seconds):
        while True:
            found = look()
            seen = await found if isawaitable(found) else found
            if seen:
                return seen
            # The one sleep of the integration tests: another process rings no bell here.
            await trio.sleep(0.02)


@asynccontextmanager
async def ended(running: Running) -> AsyncIterator[None]:
    """Stops it when the block ends, and holds it to its exit code."""
    try:
        yield
    except BaseException:
        await stop(running.process)
        raise
    in_time = await stop(running.process)
    assert in_time, f"SIGTERM was not enough\n{running.said()}"
    assert running.process.returncode == running.exit_code, running.said()


async def started_saying(running: Running, event: str) -> dict[str, Any]:
    """The log line by which it tells that it serves."""

    def look() -> dict[str, Any] | None:
        assert running.process.poll() is None, f"ended before {event}\n{running.said()}"
        return next(iter(running.log_lines(event)), None)

    started = await until(look, START_SECONDS)
    assert started is not None
    return started


def _file(directory: Path, name: str, suffix: str) -> Path:
    """A new file: one process may be started several times in one directory."""
    handle, path = tempfile.mkstemp(suffix, f"{name}-", directory)
    os.close(handle)
    return Path(path)
