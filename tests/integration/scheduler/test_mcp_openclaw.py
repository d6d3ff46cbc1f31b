"""A real OpenClaw agent without a shell does a task of the board's, by the board's MCP tools."""

import json
import re
import shlex
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from tests.integration.openclaw import OPENCLAW, environment
from tests.integration.openclaw.gateway import run_gateway
from tests.integration.processes import Simulator, run_simulator, start, until
from tests.integration.scheduler.daemons import Scheduler, blackboard, open_store, run_scheduler

pytestmark = [pytest.mark.integration, pytest.mark.needs("openclaw", "minutes")]

CHAT = "/v1/chat/completions"
RESULT = "42 boxes, handed in without a shell"
SECONDS = 180.0
"""For what takes fifteen on two idle cores."""


async def test_an_agent_without_a_shell_reads_its_ticket_and_hands_in_the_result_by_a_tool(
    tmp_path: Path,
) -> None:
    async with run_simulator(tmp_path, "--latency", "0") as simulator:
        home = tmp_path / "openclaw"
        home.mkdir()
        async with run_gateway(home, simulator), run_scheduler(tmp_path, env=_environment(home)) as scheduler:
            await _register(scheduler, home)
            await _scripted(simulator)
            workspace = home / "workspace-ops"
            workspace.mkdir(exist_ok=True)
            installed = await blackboard(tmp_path, "skill", "install", str(workspace))
            assert installed.code == 0, installed.stderr
            task = await scheduler.create("Count the boxes", assignee="ops")
            await _until_done(scheduler, task)
            with open_store(scheduler) as store:
                thread = store.thread(task)
                (output,) = thread.outputs
                assert store.output_file(output).read_text() == RESULT
            assert (output.name, output.final, output.author) == ("boxes.md", True, "ops")

            first, second, *_ = [json.loads(asked["body"]) for asked in await simulator.requests(CHAT)]
            offered = {tool["function"]["name"] for tool in first["tools"]}
            assert "exec" not in offered
            assert "board__board_output" in _said(first), "nobody else tells the agent of its tools"
            assert f"{workspace.name}/skills/blackboard/SKILL.md" in _said(first), "the skill is on offer"
            (attempt,) = thread.attempts
            claim = re.compile(rf"{task}\.{attempt.epoch}\.[\w-]{{16,}}")
            assert not claim.search(_said(first)), "the prompt is in the arguments of a process"
            assert claim.search(_said(second)), "the agent has read its ticket"


async def _until_done(scheduler: Scheduler, task: str) -> None:
    async def done() -> bool:
        return bool((await scheduler.task(task))["status"] == "done")

    # No tick is asked for: each would cost OpenClaw a second of a core, and what happens wakes the scheduler.
    look: Callable[[], bool | Awaitable[bool]] = done
    await until(look, SECONDS)


def _environment(home: Path) -> dict[str, str]:
    """The scheduler's: the gateway's own home and node."""
    return {
        **environment(home),
        "SCHEDULER_RUNNER": "openclaw",
        "SCHEDULER_OPENCLAW": shlex.join(OPENCLAW),
    }


async def _register(scheduler: Scheduler, home: Path) -> None:
    """The board's server, as users do it, and no shell."""
    server = {"url": f"{scheduler.url}/mcp", "transport": "streamable-http"}
    patch = home / "board.json"
    patch.write_text(
        json.dumps({"mcp": {"servers": {"board": server}}, "tools": {"deny": ["exec", "process"]}})
    )
    argv = [*OPENCLAW, "config", "patch", "--file", str(patch)]
    process, output, errors = await start(argv, home, "patch", environment(home))
    with trio.fail_after(SECONDS):
        code = await process.wait()
    assert code == 0, output.read_text() + errors.read_text()


async def _scripted(simulator: Simulator) -> None:
    """A model that does as its prompt says: first the ticket, then the result."""
    await _call(simulator, "read", {"path": "{ticket}"}, ticket=r"First read the file\n(\S+)")
    output = {"claim": "{claim}", "name": "boxes.md", "text": RESULT, "final": True}
    await _call(
        simulator,
        "tool_call",
        {"id": "board__board_output", "args": output},
        claim=r'"claim"\s*:\s*"(T-[^"]+)"',
    )


async def _call(simulator: Simulator, name: str, arguments: Mapping[str, object], **find: str) -> None:
    script = {"name": name, "arguments": arguments, "find": find}
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"http://127.0.0.1:{simulator.port}/_sim/call", json=script)
    assert answer.status_code == 200, answer.text


def _said(request: Mapping[str, Any]) -> str:
    """All that the model was told."""
    return json.dumps(request["messages"], ensure_ascii=False)
