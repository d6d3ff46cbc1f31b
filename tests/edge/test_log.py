"""One line per request, with what is needed and nothing that is secret."""

import json
from typing import Any

from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.edge.conftest import KEY, World


def lines(logs: list[Any]) -> list[Any]:
    return [line for line in logs if line["event"] == "request_completed"]


async def test_each_request_is_one_line_with_all_the_contract_names(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    headers = [(b"x-agent-id", b"crab"), (b"x-priority", b"high")]
    with capture_logs() as logs:
        talk = await sidecar.chat("fault/429-1", headers=headers)
    (line,) = lines(logs)
    assert line["request_id"].encode() == talk.header(b"x-sidecar-request-id")
    named = {name: line[name] for name in ("agent", "priority", "model", "status", "attempts", "retreat")}
    assert named == {
        "agent": "crab",
        "priority": "high",
        "model": "fault/429-1",
        "status": 200,
        "attempts": 2,
        "retreat": "normal",
    }
    assert line["bytes"] == len(talk.body)
    assert (line["queue_ms"], line["upstream_ms"]) == (2000, 0)


async def test_prompts_and_keys_are_in_no_line(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    with capture_logs() as logs:
        await sidecar.chat(said="say: a secret prompt", headers=[(b"authorization", b"Bearer nvapi-theirs")])
        await sidecar.client.get(b"/v1/x?key=in-the-query")
        await sidecar.chat("fault/echo-key-1")
    text = json.dumps(logs, default=str)
    for secret in ("secret prompt", "nvapi-theirs", KEY, "in-the-query"):
        assert secret not in text
    assert len(lines(logs)) == 3


async def test_one_that_hung_up_and_one_that_was_refused_have_their_line_too(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(rate_rpm=1)
    await sidecar.spend(1)
    with capture_logs() as logs:
        talk = sidecar.begin()
        await wait_all_tasks_blocked()
        talk.hang_up()
        await wait_all_tasks_blocked()
        await sidecar.chat(body=b"")
        await sidecar.chat(headers=[(b"x-deadline-ms", b"5")])
    assert [(line["status"], line["outcome"], line["attempts"]) for line in lines(logs)] == [
        (None, "abandoned", 0),
        (400, "rejected", 0),
        (429, "ratelimited", 0),
    ]


async def test_what_the_guard_turns_away_is_counted_and_has_its_line(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    with capture_logs() as logs:
        await sidecar.chat(headers=[(b"origin", b"https://evil.example")])
        await sidecar.client.ask("GET", b"/status", headers=[(b"origin", b"https://evil.example")])
    (line,) = lines(logs)
    assert (line["status"], line["outcome"], line["attempts"]) == (403, "rejected", 0)
    assert (await sidecar.json(b"/status"))["requests"]["total"] == 1
    assert (await sidecar.metrics())['sidecar_requests_total{priority="normal",status="rejected"}'] == 1


async def test_a_429_with_room_in_our_own_window_is_said(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    with capture_logs() as logs:
        await sidecar.chat("fault/429-1")
    assert [line["model"] for line in logs if line["event"] == "throttled_with_room_in_our_window"] == [
        "fault/429-1"
    ]
