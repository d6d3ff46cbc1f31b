"""A user's own configuration of a real OpenClaw, set up for the sidecar and the board, and taken back.

The rule of the file: the configuration is written as people write it, with comments and things of their own,
and what has to come back is its bytes.
"""

import json
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from scheduler.gateway import Gateway
from tests.integration.openclaw import MODEL
from tests.integration.openclaw.gateway import RealGateway
from tests.integration.processes import Simulator, run_sidecar, run_simulator, start, stop, until
from tests.integration.scheduler.daemons import Said, settings

pytestmark = [pytest.mark.integration, pytest.mark.needs("openclaw", "minutes")]

CHAT = "/v1/chat/completions"
SECONDS = 240.0
"""For what takes ten on two idle cores: a plan is six processes of OpenClaw's."""

CONFIGURATION = """\
// The team's OpenClaw. Ask Olga before you touch it.
{
  gateway: { mode: "local", port: %(port)d, bind: "loopback", auth: { mode: "token", token: "of-a-test" } },
  logging: { file: "%(home)s/openclaw.log" },
  models: {
    providers: {
      nvidia: {
        baseUrl: "%(upstream)s", /* NVIDIA's own, until now */
        apiKey: "nvapi-of-the-user",
        api: "openai-completions",
        models: [
          { id: "%(model)s", name: "DeepSeek", contextWindow: 131072, maxTokens: 4096 }, // the good one
        ],
      },
      'at-home': { baseUrl: "http://127.0.0.1:9/v1", apiKey: "${NVIDIA_API_KEY}", api: "openai-completions",
        models: [{ id: "small", name: "Small" }] },
    },
  },
  agents: {
    ownership: "explicit",
    defaults: { workspace: "%(home)s/workspace", model: { primary: "nvidia/%(model)s" } },
    entries: {
      main: { workspace: "%(home)s/workspace-main" },
      // Its own heartbeat, its own words.
      ops: { workspace: "%(home)s/workspace-ops", heartbeat: { every: "55m" },
        params: { extra_body: { metadata: { team: "a" } } } },
      small: { workspace: "%(home)s/workspace-small", model: { primary: "at-home/small" } },
    },
  },
}
"""


async def test_a_real_configuration_is_set_up_serves_turns_through_the_sidecar_and_comes_back_to_the_byte(
    tmp_path: Path,
) -> None:
    home = _made(tmp_path / "openclaw")
    async with (
        run_simulator(tmp_path) as simulator,
        run_sidecar(upstream=simulator.url, state_dir=_made(tmp_path / "sidecar")) as sidecar,
    ):
        file, original = _configured(home, simulator)
        openclaw = RealGateway(home)
        try:
            await openclaw.come_up()
            gateway = Gateway(openclaw.command, openclaw.environ, timeout_seconds=SECONDS)
            await _cron(gateway, "beat", "--every", "6h", "--message", "Anything new?")
            await _cron(gateway, "tidy", "--every", "6h", "--command-argv", '["true"]')
            before = await _enabled(gateway)
            env = _environment(openclaw, tmp_path, sidecar.port)

            planned = await _command(tmp_path, env, "plan", "--json")
            assert planned.code == 0, planned.stderr
            assert json.loads(planned.stdout)["newcomers"] == ["main", "ops", "small"]
            assert file.read_bytes() == original

            applied = await _command(tmp_path, env, "apply", "--yes", "--add-agents")
            assert applied.code == 0, applied.stdout + applied.stderr + openclaw.said()
            assert "The gateway has taken it over" in applied.stdout
            assert "nvapi-of-the-user" not in applied.stdout + applied.stderr
            assert (tmp_path / "state/agents.yaml").read_text().splitlines()[0] == "agents:"
            assert (tmp_path / "state/openclaw-undo.json").stat().st_mode & 0o777 == 0o600
            now = await _enabled(gateway)
            assert "beat" in before - now
            assert "tidy" in now
            assert not {name for name in now if name.startswith("heartbeat-")}

            # As the scheduler starts a run of that priority.
            await _turn(gateway, "ops", "agent:ops:task-t-0001-1", model=f"nvidia-urgent/{MODEL}")
            await _turn(gateway, "main", "agent:main:task-t-0002-1", model=None)
            completed = await until(lambda: _completed(sidecar.log_lines("request_completed"), 2), SECONDS)
            assert {(line["agent"], line["priority"]) for line in completed} == {
                ("ops", "urgent"),
                ("main", "normal"),
            }
            assert [line["status"] for line in completed] == [200, 200], sidecar.said()
            for asked in await simulator.requests(CHAT):
                headers = {name.lower(): value for name, value in asked["headers"]}
                assert headers["authorization"] == "Bearer nvapi-of-the-sidecar"
                assert asked["model"] == MODEL

            again = await _command(tmp_path, env, "plan", "--json")
            assert json.loads(again.stdout)["changes"] == json.loads(again.stdout)["automations"] == []

            undone = await _command(tmp_path, env, "undo", "--yes")
            assert undone.code == 0, undone.stdout + undone.stderr + openclaw.said()
            assert "The gateway has taken it over" in undone.stdout
            assert file.read_bytes() == original
            assert file.stat().st_mode & 0o777 == 0o640
            assert await _enabled(gateway) == before
            # And OpenClaw leaves it so, also where it starts anew.
            await openclaw.kill()
            await openclaw.come_up()
            assert file.read_bytes() == original
        finally:
            with trio.CancelScope(shield=True):
                await openclaw.stop()


def _configured(home: Path, simulator: Simulator) -> tuple[Path, bytes]:
    file = _made(home / ".openclaw") / "openclaw.json"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    parts = {"port": port, "home": home, "upstream": f"{simulator.url}/v1", "model": MODEL}
    file.write_text(CONFIGURATION % parts)
    file.chmod(0o640)
    return file, file.read_bytes()


def _environment(openclaw: RealGateway, directory: Path, sidecar_port: int) -> dict[str, str]:
    return settings(
        directory,
        {
            **openclaw.environ,
            "SCHEDULER_PORT": "8083",  # only written down: nothing listens there
            "SCHEDULER_OPENCLAW": " ".join(openclaw.command),
            "SCHEDULER_SIDECAR_URL": f"http://127.0.0.1:{sidecar_port}",
        },
    )


async def _command(directory: Path, env: Mapping[str, str], *argv: str) -> Said:
    process, output, errors = await start(
        [sys.executable, "-m", "scheduler", "openclaw", *argv], directory, f"openclaw-{argv[0]}", env
    )
    try:
        with trio.fail_after(SECONDS):
            code = await process.wait()
    finally:
        await stop(process)
    return Said(code, output.read_text(), errors.read_text())


async def _cron(gateway: Gateway, name: str, *what: str) -> None:
    await gateway.ask("cron", "add", "--name", name, "--agent", "ops", *what)


async def _enabled(gateway: Gateway) -> set[str]:
    return {job["name"] for job in (await gateway.ask("cron", "list"))["jobs"]}


async def _turn(gateway: Gateway, agent: str, key: str, *, model: str | None) -> None:
    if model is not None:
        await gateway.call("sessions.patch", {"key": key, "model": model})
    order = {"message": "What are you?", "agentId": agent, "sessionKey": key, "idempotencyKey": key}
    assert (await gateway.call("agent", {**order, "deliver": False}))["status"] == "accepted"


def _completed(lines: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The sidecar's lines about chats, when there are as many."""
    chats = [line for line in lines if line.get("path", CHAT) == CHAT]
    return chats if len(chats) >= count else []


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
