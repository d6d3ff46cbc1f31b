"""What the upstream does wrong, and how much of it a client gets to see."""

import json
import math

import pytest
import trio
from trio.testing import MockClock

from tests.edge.asgi import Talk, error_code
from tests.edge.conftest import Sidecar, World, chat_body

NEVER = ["429", "500", "502", "504", "reset", "half-close", "503-workers"]


def in_band(talk: Talk) -> str:
    """The code of the error that ends a stream."""
    *_, last, nothing = talk.body.split(b"\n\n")
    assert nothing == b""
    return error_code(json.loads(last.removeprefix(b"data: ")))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", NEVER)
async def test_two_failures_and_a_success_are_one_success(
    autojump_clock: MockClock, world: World, kind: str, stream: bool
) -> None:
    sidecar = world.sidecar()
    talk = await sidecar.chat(f"fault/{kind}-2", stream=stream)
    assert talk.status == 200
    assert talk.header(b"x-sidecar-attempts") == b"3"
    assert talk.number(b"x-sidecar-queue-ms") > 1000
    assert sidecar.simulator.stats().requests == 3
    assert [row["queued"] for row in await sidecar.json(b"/api/agents")] == [0]


async def test_a_refused_connection_is_tried_again_and_spends_no_slot(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    world.line.refusals = 2
    talk = await sidecar.chat()
    assert talk.status == 200
    assert talk.header(b"x-sidecar-attempts") == b"3"
    assert (await sidecar.json(b"/status"))["lanes"][0]["window_used"] == 1


async def test_every_other_attempt_spends_a_slot(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    await sidecar.chat("fault/reset-2")
    assert (await sidecar.json(b"/status"))["lanes"][0]["window_used"] == 3


async def test_silence_is_tried_once_more(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar(first_byte_timeout=20)
    talk = await sidecar.chat("fault/silence-1")
    assert talk.status == 200
    assert talk.header(b"x-sidecar-attempts") == b"2"


async def test_silence_twice_is_a_504(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar(first_byte_timeout=20)
    talk = await sidecar.chat("fault/silence")
    assert (talk.status, talk.error) == (504, "upstream_timeout")
    assert talk.header(b"x-sidecar-attempts") == b"2"
    assert 40 < trio.current_time() < 45
    await world.simulator.wait_for(lambda stats: stats.in_flight == 0)


async def test_an_explicit_timeout_bounds_the_first_byte_too(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar(request_timeout=10, max_retries=0)
    await sidecar.chat("fault/silence")
    assert trio.current_time() == 10


async def test_a_connection_that_is_never_made_is_a_502_after_all_attempts(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(max_retries=1)
    world.line.swallows = True
    talk = await sidecar.chat()
    assert (talk.status, talk.error) == (502, "upstream_unreachable")
    assert world.line.attempts == 2
    assert 20 < trio.current_time() < 25


@pytest.mark.parametrize("retries", [0, 1, 3])
async def test_there_are_as_many_further_attempts_as_allowed(
    autojump_clock: MockClock, world: World, retries: int
) -> None:
    sidecar = world.sidecar(max_retries=retries)
    talk = await sidecar.chat("fault/500")
    assert talk.status == 500
    assert talk.json["detail"] == "Inference connection error", "the upstream's own answer"
    assert talk.header(b"x-sidecar-attempts") == b"%d" % (retries + 1)


async def test_after_the_last_attempt_a_429_is_relayed_with_a_retry_after_of_ours(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(max_retries=1)
    world.simulator.script_fault("retry-after", value="1000000000")
    talk = await sidecar.chat()
    assert talk.status == 429
    assert talk.json == {"status": 429, "title": "Too Many Requests"}
    assert talk.header(b"x-sidecar-attempts") == b"2"
    assert 1 <= talk.number(b"retry-after") <= 60
    assert 1 <= talk.number(b"retry-after-ms") <= 60_000


async def test_a_retry_that_could_not_meet_the_deadline_is_not_waited_for(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    talk = await sidecar.chat("fault/429", headers=[(b"x-deadline-ms", b"1000")])
    assert talk.status == 429
    assert talk.json["title"] == "Too Many Requests"
    assert trio.current_time() < 1


async def test_retries_of_one_model_leave_the_others_alone(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    sidecar.begin("fault/429")
    await trio.sleep(0.5)
    assert (await sidecar.chat()).status == 200
    assert trio.current_time() == 0.5


@pytest.mark.parametrize("kind", ["302", "garbage", "bad-header"])
async def test_a_redirect_or_garbage_is_a_502_at_once_and_never_followed(
    autojump_clock: MockClock, world: World, kind: str
) -> None:
    sidecar = world.sidecar()
    talk = await sidecar.chat(f"fault/{kind}")
    assert (talk.status, talk.error) == (502, "upstream_unreachable")
    assert talk.header(b"x-sidecar-attempts") == b"1"
    assert talk.header(b"location") is None
    assert sidecar.simulator.stats().requests == 1


@pytest.mark.parametrize("kind", ["reset-in-stream", "half-close-in-stream"])
async def test_a_stream_that_breaks_ends_with_an_error_in_band_and_is_not_tried_again(
    autojump_clock: MockClock, world: World, kind: str
) -> None:
    sidecar = world.sidecar()
    talk = await sidecar.chat(f"fault/{kind}", stream=True)
    assert talk.status == 200
    assert in_band(talk) == "upstream_unreachable"
    assert sidecar.simulator.stats().requests == 1


async def test_a_stream_that_falls_silent_ends_with_an_error_in_band(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    talk = await sidecar.chat("fault/silence-in-stream", stream=True)
    assert in_band(talk) == "upstream_timeout"
    assert trio.current_time() == 60
    assert sidecar.simulator.stats().requests == 1


@pytest.mark.parametrize("kind", ["reset-in-stream", "short-body", "half-close-in-stream"])
async def test_an_answer_in_one_piece_that_breaks_is_visibly_cut(
    autojump_clock: MockClock, world: World, kind: str
) -> None:
    sidecar = world.sidecar()
    talk = await sidecar.begin(f"fault/{kind}").cut()
    assert talk.status == 200
    assert sidecar.simulator.stats().requests == 1


async def test_a_long_pause_within_a_stream_is_no_silence(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    world.simulator.change(chunk_gap=59)
    talk = await sidecar.chat(stream=True)
    assert talk.body.endswith(b"data: [DONE]\n\n")
    assert trio.current_time() > 600


async def test_a_model_without_free_workers_is_tried_again_until_one_is_free(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    world.simulator.change(workers={"meta/llama": 1}, latency=5)
    first, second = sidecar.begin("meta/llama"), sidecar.begin("meta/llama")
    assert (await first.answered()).status == (await second.answered()).status == 200
    assert world.simulator.stats().exhausted >= 1


async def test_a_blocked_lane_offers_nothing_until_a_success(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    world.simulator.script_fault("401", count=1)
    await sidecar.chat()
    blocked = await sidecar.json(b"/api/capacity")
    assert (blocked["effective_rpm"], blocked["spare_rpm"]) == (0, 0)
    assert blocked["lanes"][0]["effective_rpm"] == 40
    await sidecar.chat()
    assert (await sidecar.json(b"/api/capacity"))["effective_rpm"] == 40


@pytest.mark.parametrize(("kind", "reason"), [("401", "key_rejected"), ("402", "no_credits")])
async def test_a_refused_key_blocks_the_lane_until_one_succeeds(
    autojump_clock: MockClock, world: World, kind: str, reason: str
) -> None:
    sidecar = world.sidecar()
    await sidecar.chat(f"fault/{kind}")
    blocked = (await sidecar.json(b"/api/capacity"))["blocked"]
    assert set(blocked) == {"reason", "since"}
    assert blocked["reason"] == reason
    assert (await sidecar.metrics())[f'sidecar_lane_blocked{{reason="{reason}"}}'] == 1
    await sidecar.chat("fault/404")
    assert (await sidecar.json(b"/api/capacity"))["blocked"]["reason"] == reason
    await sidecar.chat()
    assert (await sidecar.json(b"/api/capacity"))["blocked"] is None
    assert (await sidecar.metrics())[f'sidecar_lane_blocked{{reason="{reason}"}}'] == 0


async def test_a_refused_key_of_a_client_says_nothing_about_the_lane(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(own_key=False)
    await sidecar.chat("fault/401", headers=[(b"authorization", b"Bearer wrong")])
    assert (await sidecar.json(b"/api/capacity"))["blocked"] is None


@pytest.mark.parametrize(("value", "seconds"), [("7", 7), ("-1", 1), ("1000000000", 60), ("0", 1)])
async def test_a_retry_after_is_a_quiet_period_of_the_lane(
    autojump_clock: MockClock, world: World, value: str, seconds: int
) -> None:
    sidecar = world.sidecar()
    world.simulator.script_fault("retry-after", value=value, count=1)
    sidecar.begin()
    await trio.sleep(0.5)
    assert (await sidecar.json(b"/api/capacity"))["quiet_until"] is not None
    await sidecar.chat("another/model")
    assert math.isclose(trio.current_time(), seconds, abs_tol=2.5)
    assert trio.current_time() >= seconds


async def test_an_upstream_that_echoes_our_key_does_not_make_us_say_it(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar: Sidecar = world.sidecar(max_retries=0)
    talk = await sidecar.chat("fault/echo-key", body=chat_body("fault/echo-key"))
    assert talk.status == 500
    assert sidecar.settings.upstream_api_key.get_secret_value().encode() not in talk.body


async def test_a_request_of_which_only_a_part_has_left_counts_as_sent(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slammed(stream: trio.SocketStream) -> None:
        await stream.receive_some(1)
        stream.socket.close()

    monkeypatch.setattr(world.line, "_serve", slammed)
    sidecar = world.sidecar(max_retries=0)
    talk = await sidecar.chat(said="x" * 4_000_000)
    assert (talk.status, talk.error) == (502, "upstream_unreachable")
    assert (await sidecar.json(b"/status"))["lanes"][0]["window_used"] == 1
