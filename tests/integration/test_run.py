"""``make run``'s program: what it prints is true, and whatever ends, everything ends."""

import os
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import trio

from tests.integration.clients import Client, begin, chat, open_client, rest
from tests.integration.processes import Sidecar, start, stop, until
from tests.openclaw_stand_in import StandIn

pytestmark = pytest.mark.integration

linux = pytest.mark.needs("/proc")

LAST_LINE = "Ctrl-C stops everything."
SIMULATOR = "proxy.simulator"
DEMO_ROSTER = Path("deploy/demo.agents.yaml").read_bytes()
SCHEDULERS = ("SCHEDULER_PORT", "SCHEDULER_METRICS_PORT", "SCHEDULER_STATE_DIR", "SCHEDULER_ALERT_PORT")
EMPTY = ("SCHEDULER_ALERT_PORT",)
"""Where empty is a value of its own; elsewhere it is how a test takes a setting away."""


@dataclass
class Run(Sidecar):
    """``deploy/run.py``: `port` and `metrics_port` are its sidecar's, `children` are pids by module."""

    children: dict[str, int] = field(default_factory=dict)

    def printed(self, label: str) -> str:
        """What stands behind `label` on its line."""
        (line,) = (line for line in self.said().splitlines() if line.startswith(f"{label} "))
        return line.removeprefix(label).strip()


@pytest.mark.needs("curl")
async def test_it_says_that_the_api_is_simulated_and_the_printed_commands_work(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with _make_run(tmp_path) as run, httpx.AsyncClient(trust_env=False) as client:
            assert "SIMULATED UPSTREAM: nvidia-sim (http://127.0.0.1:" in run.said()
            assert "no real model is called" in run.said()
            words = _curl_words(run.said())
            assert words[0] == "curl"
            answer = httpx.Response(200, text=await _output(words, tmp_path)).json()
            assert answer["choices"][0]["message"]["content"] == "This is the simulated upstream."
            status = (await client.get(run.printed("Budget"))).json()
            assert status["requests"]["nvidia"] == 1
            sidecars, schedulers = run.printed("Metrics").split(" and ")
            assert "sidecar_" in (await client.get(sidecars)).text
            assert "scheduler_" in (await client.get(schedulers)).text
            assert (await client.get(run.printed("Board"))).json()["tasks"] == []
            assert await run.terminate() == 0
            assert not _alive(run)


async def test_the_printed_lines_give_an_agent_something_to_do_and_it_is_done(tmp_path: Path) -> None:
    """Without OpenClaw: the demonstration makes one model call, to the simulated API."""
    with trio.fail_after(60):
        async with _make_run(tmp_path) as run, httpx.AsyncClient(trust_env=False) as client:
            assert "DEMONSTRATION: OpenClaw is not there" in run.said()
            lines = _board_lines(run.said())
            assert len(lines) == 3
            shown = await _output(["sh", "-c", "\n".join(lines)], tmp_path)
            assert "Say hello to the team" in shown

            async def done() -> bool:
                tasks = (await client.get(run.printed("Board"))).json()["tasks"]
                return [task["status"] for task in tasks] == ["done"]

            look: Callable[[], bool | Awaitable[bool]] = done
            await until(look, 20)
            status = (await client.get(run.printed("Budget"))).json()
            assert status["requests"]["nvidia"] == 1


@linux
@pytest.mark.needs("minutes")
async def test_with_openclaw_on_the_path_nobody_is_played(tmp_path: Path) -> None:
    """And the key of the upstream is nobody's but the sidecar's."""
    stand_in = StandIn(tmp_path)
    path = f"{stand_in.program.parent}{os.pathsep}{os.environ['PATH']}"
    env = {"PATH": path, "SIDECAR_API_KEY": "nvapi-canary", "SIDECAR_UPSTREAM": "http://127.0.0.1:9"}
    with trio.fail_after(60):
        async with _make_run(tmp_path, **env) as run:
            assert "Agents are started in OpenClaw's gateway." in run.said()
            assert "DEMONSTRATION" not in run.said()
            (started,) = run.log_lines("scheduler_started")
            assert started["runner"] == "openclaw"
            assert set(run.children) == {"proxy", "scheduler"}
            assert "--assignee demo" not in run.said()
            assert "agent-scheduler openclaw apply --add-agents" in run.said()
            await _until_reload_finds_what_was_written_later(run, tmp_path / "state")
            assert "canary" not in _environment(run.children["scheduler"])


@pytest.mark.needs("minutes")
@pytest.mark.parametrize("where", ["state", "named", "none"])
async def test_the_demonstrations_roster_is_there_only_where_there_is_no_other(
    tmp_path: Path, where: str
) -> None:
    roster = "agents:\n  ops: {label: Operations, class: frequent}\n"
    env: dict[str, str] = {}
    (tmp_path / "state").mkdir(mode=0o700)
    if where == "state":
        (tmp_path / "state" / "agents.yaml").write_text(roster)
    elif where == "named":
        (tmp_path / "team.yaml").write_text(roster)
        env["SCHEDULER_AGENTS_FILE"] = str(tmp_path / "team.yaml")
    with trio.fail_after(60):
        async with _make_run(tmp_path, **env) as run, httpx.AsyncClient(trust_env=False) as client:
            page = (await client.get(run.printed("Metrics").split(" and ")[1])).text
    assert ('agent_name="ops"' in page) == (where != "none")
    assert ('agent_name="demo"' in page) == (where == "none")
    copy = tmp_path / "state" / "agents.yaml"
    assert copy.exists() == (where != "named")
    if where == "none":
        assert copy.read_bytes() == DEMO_ROSTER
        assert copy.stat().st_mode & 0o777 == 0o600


@pytest.mark.needs("minutes")
async def test_settings_of_ones_own_go_before_all_defaults(tmp_path: Path) -> None:
    """In the environment, or in a file: then its own are not covered by ours."""
    config = tmp_path / "scheduler.yaml"
    config.write_text(
        f"port: 0\nmetrics_port: 0\nalert_port: ''\nstate_dir: {tmp_path / 'elsewhere'}\n"
        "runner: demo\nsidecar_url: ''\ntick_seconds: 7\n"
    )
    own = {"SCHEDULER_CONFIG": str(config), **dict.fromkeys(SCHEDULERS, "")}
    with trio.fail_after(60):
        async with _make_run(tmp_path, **own) as run, httpx.AsyncClient(trust_env=False) as client:
            (started,) = run.log_lines("scheduler_started")
            assert started["state_dir"] == str(tmp_path / "elsewhere")
            url = run.printed("Board").removesuffix("/api/blackboard/tasks")
            status = (await client.get(f"{url}/api/daemon/status")).json()
            assert status["tick_interval_seconds"] == 7


@linux
async def test_ctrl_c_finishes_what_streams_and_a_second_one_ends_all_at_once(tmp_path: Path) -> None:
    """Exit code 0, and nothing is left. What cannot finish is `fault/silence`, which never answers."""
    with trio.fail_after(30):
        async with _make_run(tmp_path) as run, open_client(run) as client:
            assert set(run.children) == {SIMULATOR, "proxy", "scheduler"}
            async with await begin(run, {**chat(), "model": "fault/silence"}) as silent:
                await _until_in_flight(client)
                async with await begin(run, chat(stream=True)) as streams:
                    begun = await streams.receive_some()
                    run.process.send_signal(signal.SIGINT)
                    streamed = begun + await rest(streams)
                assert streamed.startswith(b"HTTP/1.1 200 ")
                assert b"data: [DONE]" in streamed
                assert run.process.poll() is None
                run.process.send_signal(signal.SIGINT)
                with trio.fail_after(5):
                    assert await run.process.wait() == 0, run.said()
                assert b'"code":"draining"' in await rest(silent)
            assert "Stopping; requests in flight are finished first. Ctrl-C again ends at once." in run.said()
            assert not _alive(run)
            stopped = [line["event"] for line in run.log_lines() if line["event"].endswith("_stopped")]
            assert stopped[:2] == ["scheduler_stopped", "sidecar_stopped"]


@linux
@pytest.mark.needs("minutes")
@pytest.mark.parametrize(
    ("module", "name"),
    [("proxy", "The sidecar"), (SIMULATOR, "nvidia-sim"), ("scheduler", "The scheduler")],
    ids=["sidecar", "simulator", "scheduler"],
)
async def test_when_one_dies_the_others_are_ended_and_it_says_which(
    tmp_path: Path, module: str, name: str
) -> None:
    with trio.fail_after(30):
        async with _make_run(tmp_path) as run:
            os.kill(run.children[module], signal.SIGKILL)
            assert await run.process.wait() == 1, run.said()
            assert f"make run: {name} ended with signal 9." in run.said()
            assert not _alive(run)


@pytest.mark.needs("minutes")
@pytest.mark.parametrize(
    "variable", ["SIDECAR_PORT", "SIDECAR_METRICS_PORT", "SCHEDULER_PORT", "SCHEDULER_METRICS_PORT"]
)
async def test_a_taken_port_is_named_before_anything_is_started(tmp_path: Path, variable: str) -> None:
    with trio.fail_after(30), socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = await _output([sys.executable, "deploy/run.py"], tmp_path, 1, **{variable: str(port)})
    assert said.startswith(f"make run: port {port} cannot be used (")
    assert said.endswith(f": end what holds it, or choose another with {variable}=...\n")
    assert not (tmp_path / "state").exists()


async def test_a_wrong_setting_is_explained_in_one_line(tmp_path: Path) -> None:
    with trio.fail_after(30):
        said = await _output([sys.executable, "deploy/run.py"], tmp_path, 1, SIDECAR_RATE_RPM="fast")
    explained, ended = said.splitlines()
    assert explained.startswith("SIDECAR_RATE_RPM is 'fast', expected ")
    assert ended == "make run: The sidecar ended with code 2."


@pytest.mark.needs("minutes")
async def test_a_wrong_setting_of_the_scheduler_ends_all_and_is_explained(tmp_path: Path) -> None:
    with trio.fail_after(60):
        said = await _output([sys.executable, "deploy/run.py"], tmp_path, 1, SCHEDULER_TICK_SECONDS="soon")
    lines = said.splitlines()
    assert any(line.startswith("SCHEDULER_TICK_SECONDS is 'soon', expected ") for line in lines)
    assert "make run: The scheduler ended with code 2." in lines
    assert any('"sidecar_stopped"' in line for line in lines)


async def _until_reload_finds_what_was_written_later(run: Run, state: Path) -> None:
    """As `openclaw apply --add-agents` writes it."""
    assert not (state / "agents.yaml").exists()
    (state / "agents.yaml").write_text("agents:\n  ops: {}\n")
    (started,) = run.log_lines("scheduler_started")
    reload = [sys.executable, "-m", "scheduler", "reload"]
    said = await _output(reload, state.parent, SCHEDULER_PORT=str(started["port"]))
    assert said == f"{state / 'agents.yaml'}: ops\n"


@asynccontextmanager
async def _make_run(directory: Path, **own: str) -> AsyncIterator[Run]:
    """It, once it has printed all; ended with everything that it started, whatever becomes of the test."""
    env = {name: value for name, value in {**_settings(directory), **own}.items() if value or name in EMPTY}
    run = Run(*await start([sys.executable, "deploy/run.py"], directory, "run", env))
    try:
        await until(lambda: _has_printed_all(run), 20)
        (started,) = run.log_lines("sidecar_started")
        run.port, run.metrics_port, run.url = started["port"], started["metrics_port"], started["url"]
        run.children = _children(run.process.pid)
        yield run
    finally:
        await stop(run.process)
        for pid in _alive(run):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _settings(directory: Path) -> dict[str, str]:
    """No key and no upstream, as for somebody who has just cloned the repository."""
    return {
        "SIDECAR_PORT": "0",
        "SIDECAR_METRICS_PORT": "0",
        "SIDECAR_STATE_DIR": str(directory / "state"),
        "SCHEDULER_PORT": "0",
        "SCHEDULER_METRICS_PORT": "0",
        "SCHEDULER_ALERT_PORT": "",
        "SCHEDULER_STATE_DIR": str(directory / "state"),
        "HOME": str(directory),
    }


def _has_printed_all(run: Run) -> bool:
    assert run.process.poll() is None, run.said()
    return LAST_LINE in run.said()


async def _until_in_flight(client: Client) -> None:
    """Until the only agent has a request that the upstream works on."""

    async def seen() -> bool:
        return [agent["in_flight"] for agent in (await client.get("/api/agents")).json()] == [1]

    look: Callable[[], bool | Awaitable[bool]] = seen
    await until(look)


def _curl_words(said: str) -> list[str]:
    """The printed command as a shell would split it: a backslash at a line's end joins two lines."""
    _, _, command = said.partition("Try it:\n")
    return shlex.split(command.partition("\n\n")[0].replace("\\\n", ""))


def _board_lines(said: str) -> list[str]:
    """The printed commands of the board."""
    _, _, commands = said.partition("Give one something to do:\n")
    return commands.partition("\n\n")[0].splitlines()


def _environment(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_bytes().decode()


async def _output(argv: list[str], directory: Path, exit_code: int = 0, **settings: str) -> str:
    """All that `argv` says until it ends."""
    process, output, errors = await start(argv, directory, "once", {**_settings(directory), **settings})
    try:
        code = await process.wait()
    finally:
        await stop(process)
    said = output.read_text(encoding="utf-8") + errors.read_text(encoding="utf-8")
    assert code == exit_code, said
    return said


def _children(pid: int) -> dict[str, int]:
    """By the module that each runs; empty where there is no /proc."""
    pids = [int(word) for tasks in Path(f"/proc/{pid}/task").glob("*/children") for word in _words(tasks)]
    return {_module(child): child for child in pids}


def _words(path: Path) -> list[str]:
    return path.read_text(encoding="ascii").split()


def _module(pid: int) -> str:
    argv = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
    return argv[argv.index("-m") + 1]


def _alive(run: Run) -> list[int]:
    """The children that are still there, or wait for somebody to ask how they ended."""
    return [pid for pid in run.children.values() if Path(f"/proc/{pid}").exists()]
