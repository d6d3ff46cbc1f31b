"""The official client of the Model Context Protocol, over both transports, with whole processes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from mcp import Client, StdioServerParameters
from mcp.types import TextContent

from tests.integration.processes import ROOT
from tests.integration.scheduler.daemons import Scheduler, blackboard, run_scheduler, settings

pytestmark = pytest.mark.integration

MODES = ("legacy", "auto")
"""The handshake that OpenClaw speaks, and whatever the client likes best."""
NINE = 9
SECONDS = 30.0


async def said(client: Client, tool: str, **arguments: object) -> tuple[Any, bool]:
    result = await client.call_tool(tool, arguments)
    (content,) = result.content
    assert isinstance(content, TextContent)
    return json.loads(content.text), result.is_error


async def done(client: Client, tool: str, **arguments: object) -> Any:
    answer, is_error = await said(client, tool, **arguments)
    assert not is_error, answer
    return answer


async def works_through_a_task(client: Client, claim: str) -> None:
    """From the first word to the result."""
    await done(client, "board_heartbeat", claim=claim, turn=1)
    await done(client, "board_comment", claim=claim, text="\N{SHIP} half of them")
    handed_in = await done(client, "board_output", claim=claim, text="42", final=True)
    assert handed_in["status"] == "review"
    late, is_error = await said(client, "board_block", claim="T-9999.1." + "x" * 24, reason="x")
    assert is_error
    assert late["error"]["code"] == "not_found"


@pytest.fixture
async def scheduler(tmp_path: Path) -> AsyncIterator[Scheduler]:
    async with run_scheduler(tmp_path) as scheduler:
        yield scheduler


@pytest.mark.parametrize("mode", MODES)
async def test_over_http(scheduler: Scheduler, mode: Any) -> None:
    with trio.fail_after(SECONDS):
        claim = await _claimed(scheduler)
        async with Client(f"{scheduler.url}/mcp", mode=mode) as client:
            assert len((await client.list_tools()).tools) == NINE
            await works_through_a_task(client, claim)


@pytest.mark.parametrize("mode", MODES)
async def test_on_standard_input_and_output_on_the_database(tmp_path: Path, mode: Any) -> None:
    assert (await blackboard(tmp_path, "create", "--title", "Count")).code == 0
    with trio.fail_after(SECONDS):
        async with Client(_stdio(tmp_path), mode=mode) as client:
            assert len((await client.list_tools()).tools) == NINE
            claimed = await done(client, "board_claim", agent="ops")
            await works_through_a_task(client, claimed["claim"])


async def test_on_standard_input_and_output_with_the_ticket_of_a_run(
    scheduler: Scheduler, tmp_path: Path
) -> None:
    claim = await _claimed(scheduler)
    ticket = tmp_path / "ticket.json"
    ticket.write_text(json.dumps({"url": scheduler.url, "task": "T-0001", "claim": claim, "agent": "ops"}))
    ticket.chmod(0o600)
    with trio.fail_after(SECONDS):
        async with Client(_stdio(tmp_path, "--ticket", str(ticket)), mode="legacy") as client:
            (tool,) = [each for each in (await client.list_tools()).tools if each.name == "board_comment"]
            assert tool.input_schema["required"] == ["text"]
            await done(client, "board_comment", text="by my ticket")
            other = await scheduler.create("another")
            refused, is_error = await said(client, "board_comment", text="x", task=other)
            assert (is_error, refused["error"]["code"]) == (True, "stale_claim")
            further = await done(client, "board_claim")
            assert (further["id"], further["task"]["claimant"]) == (other, "ops")
            await works_through_a_task(client, claim)


async def test_many_conversations_at_once_get_one_claim_each(scheduler: Scheduler) -> None:
    tasks = {await scheduler.create(f"task {number}") for number in range(8)}
    claimed: list[str] = []
    admin = {"authorization": f"Bearer {scheduler.token}"}

    async def take(number: int) -> None:
        async with httpx.AsyncClient(trust_env=False, headers=admin) as http:
            params = {"name": "board_claim", "arguments": {"agent": f"agent{number}"}}
            answer = await http.post(
                f"{scheduler.url}/mcp", json=_message("tools/call", params), timeout=None
            )
            claimed.append(json.loads(answer.json()["result"]["content"][0]["text"])["id"])

    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(take, number)
    assert sorted(claimed) == sorted(tasks)


async def test_a_conversation_that_stays_open_does_not_hold_the_scheduler_up(tmp_path: Path) -> None:
    async with run_scheduler(tmp_path) as scheduler:
        # A client of the older kind asks for a stream that would stay open.
        with trio.fail_after(SECONDS):
            async with Client(f"{scheduler.url}/mcp", mode="legacy") as client:
                await done(client, "board_list")
                began = trio.current_time()
                assert await scheduler.terminate() == 0
                assert trio.current_time() - began < 10


async def test_neither_the_scheduler_nor_a_command_starts_with_the_protocol() -> None:
    """It takes half a second and 30 MB, for those who use it."""
    for module in ("scheduler.daemon", "scheduler.cli.__main__"):
        program = f"import sys, {module}; sys.exit('mcp' in sys.modules or 'mcp_types' in sys.modules)"
        process = await trio.run_process([sys.executable, "-c", program], cwd=ROOT, check=False)
        assert process.returncode == 0, module


async def _claimed(scheduler: Scheduler) -> str:
    task = await scheduler.create("Count", review="person")
    return str((await scheduler.do(f"/api/blackboard/tasks/{task}/claim", {"agent": "ops"}))["claim"])


def _message(method: str, params: Mapping[str, object]) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def _stdio(directory: Path, *options: str) -> StdioServerParameters:
    inherited = {name: os.environ[name] for name in ("PATH", "COVERAGE_PROCESS_CONFIG") if name in os.environ}
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "scheduler.cli", "mcp", *options],
        env={**inherited, **settings(directory)},
        cwd=ROOT,
    )


INITIALIZE = _message(
    "initialize",
    {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "a test", "version": "1"}},
)


@asynccontextmanager
async def _piped(directory: Path, *options: str) -> AsyncIterator[trio.Process]:
    given = _stdio(directory, *options)
    with (directory / "mcp.err").open("wb") as errors:
        process = await trio.lowlevel.open_process(
            [given.command, *given.args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=given.cwd,
            env=given.env,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def _lines(process: trio.Process, count: int) -> Sequence[dict[str, Any]]:
    """So many answers; all there are, if there are fewer."""
    assert process.stdout is not None
    held = b""
    while held.count(b"\n") < count and (piece := await process.stdout.receive_some()):
        held += piece
    return [json.loads(line) for line in held.splitlines()]


async def test_what_was_asked_before_the_input_ended_is_answered(tmp_path: Path) -> None:
    assert (await blackboard(tmp_path, "create", "--title", "Count")).code == 0
    asked = [
        INITIALIZE,
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        _message("tools/call", {"name": "board_claim", "arguments": {"agent": "ops"}}) | {"id": "two"},
    ]
    with trio.fail_after(SECONDS):
        async with _piped(tmp_path) as process:
            assert process.stdin is not None
            await process.stdin.send_all("".join(f"{json.dumps(each)}\n" for each in asked).encode())
            await process.stdin.aclose()
            answers = await _lines(process, 99)
            assert await process.wait() == 0
    assert [answer["id"] for answer in answers] == [1, "two"], "and nothing else is on stdout"
    assert "T-0001.1." in answers[1]["result"]["content"][0]["text"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_while_it_waits_for_its_client(tmp_path: Path, number: signal.Signals) -> None:
    with trio.fail_after(SECONDS):
        async with _piped(tmp_path) as process:
            assert process.stdin is not None
            await process.stdin.send_all(json.dumps(INITIALIZE).encode() + b"\n")
            assert len(await _lines(process, 1)) == 1
            process.send_signal(number)
            assert await process.wait() == 0
    assert (tmp_path / "mcp.err").read_text() == ""


async def test_a_client_that_is_gone_ends_it(tmp_path: Path) -> None:
    with trio.fail_after(SECONDS):
        async with _piped(tmp_path) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            await process.stdout.aclose()
            await process.stdin.send_all(json.dumps(INITIALIZE).encode() + b"\n")
            await process.stdin.aclose()
            assert await process.wait() == 0


async def test_lines_that_are_no_messages_are_passed_over(tmp_path: Path) -> None:
    junk = b'\nnot json\n\xff\xfe\n[1]\n{"jsonrpc":"2.0"}\n' + b"[" * 50_000 + b"\n"
    with trio.fail_after(SECONDS):
        async with _piped(tmp_path) as process:
            assert process.stdin is not None
            await process.stdin.send_all(junk + json.dumps(INITIALIZE).encode() + b"\n")
            answers = [each for each in await _lines(process, 1) if each.get("id") == 1]
            assert len(answers) == 1
            await process.stdin.aclose()
            assert await process.wait() == 0


async def test_a_line_without_an_end_is_not_held_in_memory(tmp_path: Path) -> None:
    with trio.fail_after(SECONDS):
        async with _piped(tmp_path) as process:
            assert process.stdin is not None
            with suppress(trio.BrokenResourceError):
                await process.stdin.send_all(b"x" * 64 * 1024 * 1024)
            assert await process.wait() == 2
    assert "longer than" in (tmp_path / "mcp.err").read_text()


async def test_a_ticket_that_is_none_is_told_on_stderr_alone(tmp_path: Path) -> None:
    ended = await blackboard(tmp_path, "mcp", "--ticket", "nowhere")
    assert (ended.code, ended.stdout) == (2, "")
    assert "cannot read the ticket" in ended.stderr
