"""A real OpenClaw agent turn, through the sidecar, to the strict stand-in for NVIDIA's API."""

import re
from pathlib import Path

import httpx
import pytest

from tests.integration import openclaw
from tests.integration.processes import Sidecar, Simulator, run_sidecar, run_simulator, until

pytestmark = [pytest.mark.integration, pytest.mark.needs("openclaw")]

CHAT = "/v1/chat/completions"
ANSWER = "This is the simulated upstream."


async def test_an_agent_turn_reaches_the_upstream_as_one_request_and_its_answer_comes_back_intact(
    tmp_path: Path,
) -> None:
    async with (
        run_simulator(tmp_path) as simulator,
        run_sidecar(upstream=simulator.url, state_dir=_made(tmp_path / "state")) as sidecar,
    ):
        turn = await _turn(sidecar, tmp_path)
        assert turn.text == ANSWER
        (arrived,) = await simulator.requests(CHAT)
        headers = {name.lower(): value for name, value in arrived["headers"]}
        assert arrived["model"] == openclaw.MODEL
        assert arrived["outcome"] == "answered"
        assert headers["authorization"] == "Bearer nvapi-of-the-sidecar"
        assert headers["x-billing-invoke-origin"] == "OpenClaw"
        assert "x-priority" not in headers
        (completed,) = await _completed(sidecar)
        assert (completed["status"], completed["attempts"]) == (200, 1)


async def test_two_429s_of_the_upstream_cost_an_agent_turn_time_and_nothing_else(
    tmp_path: Path,
) -> None:
    async with (
        run_simulator(tmp_path) as simulator,
        run_sidecar(upstream=simulator.url, state_dir=_made(tmp_path / "state")) as sidecar,
    ):
        await simulator.fault("429", count=2)
        turn = await _turn(sidecar, tmp_path)
        assert turn.text == ANSWER
        assert [attempt["result"] for attempt in turn.attempts] == ["success"]
        assert not re.search(r"status\W*429|HTTP 429|rate.?limit|too many requests", turn.log, re.IGNORECASE)
        assert await _outcomes(simulator) == [429, 429, 200]
        (completed,) = await _completed(sidecar)
        assert (completed["status"], completed["attempts"]) == (200, 3)


async def test_a_client_with_twenty_seconds_of_patience_waits_a_minute_and_asks_once(tmp_path: Path) -> None:
    """`timeoutSeconds: 20`, behind a full window: it hears empty chunks for a minute, then its answer.

    The window is full for 100 s, of which OpenClaw takes 10 to 40 to start.
    """
    one_in_a_hundred_seconds = {"SIDECAR_RATE_RPM": "0.6", "SIDECAR_WINDOW_SECONDS": "100"}
    async with (
        run_simulator(tmp_path) as simulator,
        run_sidecar(
            upstream=simulator.url, state_dir=_made(tmp_path / "state"), env=one_in_a_hundred_seconds
        ) as sidecar,
    ):
        home = await _configured(sidecar, tmp_path, patience_seconds=20)
        async with httpx.AsyncClient(trust_env=False) as another:
            body = {"model": openclaw.MODEL, "messages": [{"role": "user", "content": "first"}]}
            (await another.post(f"{sidecar.url}/chat/completions", json=body)).raise_for_status()
        turn = await openclaw.take_turn(home, "What are you?")
        assert turn.code == 0, turn.log
        assert turn.text == ANSWER
        assert [attempt["result"] for attempt in turn.attempts] == ["success"]
        assert await _outcomes(simulator) == [200, 200]
        _, arrived = await simulator.requests(CHAT)
        headers = {name.lower(): value for name, value in arrived["headers"]}
        assert (headers["x-stainless-timeout"], headers["accept-encoding"]) == ("20", "identity")
        _, completed = await until(lambda: _lines(sidecar, 2))
        assert (completed["status"], completed["attempts"], completed["stream"]) == (200, 1, True)
        assert float(str(completed["queue_ms"])) > 30_000, "far longer than its patience"


async def _turn(sidecar: Sidecar, directory: Path) -> openclaw.Turn:
    home = await _configured(sidecar, directory)
    turn = await openclaw.take_turn(home, "What are you?")
    assert turn.code == 0, turn.log
    return turn


async def _configured(sidecar: Sidecar, directory: Path, patience_seconds: int | None = None) -> Path:
    """The home of an OpenClaw that is set up as a user prints it: with the settings of this sidecar."""
    home = _made(directory / "openclaw")
    settings = {"SIDECAR_PORT": str(sidecar.port), "SIDECAR_API_KEY": "nvapi-of-the-sidecar"}
    await openclaw.configure(home, settings, patience_seconds=patience_seconds)
    return home


def _lines(sidecar: Sidecar, count: int) -> list[dict[str, object]]:
    """The lines about chats, once there are so many."""
    lines = [line for line in sidecar.log_lines("request_completed") if line.get("path", CHAT) == CHAT]
    return lines if len(lines) >= count else []


async def _completed(sidecar: Sidecar) -> list[dict[str, object]]:
    """The sidecar's lines about chats: the line of a request is written after its last byte."""
    return await until(
        lambda: [line for line in sidecar.log_lines("request_completed") if line.get("path", CHAT) == CHAT]
    )


async def _outcomes(simulator: Simulator) -> list[int]:
    return [record["status"] for record in await simulator.requests(CHAT)]


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
