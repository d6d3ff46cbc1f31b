"""Each row of the contract's table "what an upstream answer means", as a client and `/status` see it."""

import json
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.edge.asgi import Talk
from tests.edge.conftest import Sidecar, World

UNAVAILABLE = [("400-degraded", 400), ("404", 404), ("410", 410)]
Json = dict[str, Any]


async def model(sidecar: Sidecar, name: str) -> Json:
    """What `/status` knows of it."""
    (found,) = [entry for entry in (await sidecar.json(b"/status"))["models"] if entry["id"] == name]
    return dict(found)


async def lane(sidecar: Sidecar) -> Json:
    (found,) = (await sidecar.json(b"/status"))["lanes"]
    return dict(found)


def events(talk: Talk) -> list[Any]:
    """The data of a stream, decoded, `[DONE]` left out."""
    lines = [line.removeprefix("data: ") for line in talk.body.decode().split("\n\n") if line]
    return [json.loads(line) for line in lines if line != "[DONE]"]


# 429: the account's or the model's


async def test_a_model_that_is_always_refused_leaves_the_others_their_rate(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(queue_timeout=100)
    world.simulator.script_fault("429", model="m/limited")
    waits = [sidecar.begin("m/limited", headers=[(b"x-agent-id", b"%d" % n)]) for n in range(8)]
    for _ in range(30):
        assert (await sidecar.chat("m/fine")).status == 200
        await trio.sleep(1)
    assert (await sidecar.json(b"/status"))["retreat"]["state"] == "normal"
    known = await model(sidecar, "m/limited")
    assert known["own_rate_limit"] is True
    (seen,) = known["evidence"]
    assert (seen["what"], seen["count"] >= 3) == ("throttled", True)
    assert seen["first_at"] < seen["last_at"]
    for talk in waits:
        assert (await talk.answered()).status == 429


async def test_with_one_model_in_use_its_429s_count_for_account_and_model(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(max_retries=0)
    world.simulator.script_fault("429")
    for _ in range(6):
        await sidecar.chat("m/only")
        await trio.sleep(2)
    await trio.sleep(10)
    assert (await sidecar.json(b"/status"))["retreat"]["state"] == "retreat"


async def test_somebody_else_who_spends_this_key_is_told_apart_from_a_models_own_limit(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(max_retries=0)
    world.simulator.script_fault("429", count=3, model="m/limited")
    for _ in range(3):
        await sidecar.chat("m/limited")
        await sidecar.chat("m/fine")
    assert (await lane(sidecar))["foreign_429"] == 1, "the first: nothing was known yet"
    world.simulator.change(rpm=8)  # others have spent the rest of the key's
    with capture_logs() as logs:
        for number in range(5):
            await sidecar.chat(f"m/{number}")
    told = await lane(sidecar)
    assert told["foreign_429"] == 4
    assert (await sidecar.metrics())["sidecar_foreign_429_total"] == 4
    assert told["learnt"]["another_spender"]["count"] == 4
    suspected = [line for line in logs if line["event"] == "throttled_with_room_in_our_window"]
    assert {line["suspected"] for line in suspected} == {"somebody else spends this key"}
    await trio.sleep(700)
    assert (await lane(sidecar))["learnt"]["another_spender"] is None, "it is long ago"


# 503 with full workers


async def test_full_workers_govern_the_model_and_nobody_else(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    world.simulator.change(workers={"m/crowded": 4}, latency=20)
    crowd = [sidecar.begin("m/crowded", headers=[(b"x-agent-id", b"%d" % n)]) for n in range(8)]
    await trio.sleep(0.1)
    known = await model(sidecar, "m/crowded")
    assert known["limit"] == 4
    assert (await sidecar.json(b"/api/capacity"))["models"]["m/crowded"]["limit"] == 4
    assert (await sidecar.metrics())['sidecar_model_limit{model="m/crowded"}'] == 4
    assert {seen["what"] for seen in known["evidence"]} == {"workers_full"}
    before = trio.current_time()
    assert (await sidecar.chat("m/fine")).status == 200
    assert trio.current_time() - before == 20, "its own latency, and no wait"
    for talk in crowd:
        assert (await talk.answered()).status == 200
    exhausted = world.simulator.stats().exhausted
    again = [sidecar.begin("m/crowded", headers=[(b"x-agent-id", b"%d" % n)]) for n in range(8)]
    await trio.sleep(0.1)
    assert world.simulator.stats().busy["m/crowded"] <= 4
    assert (await model(sidecar, "m/crowded"))["in_flight"] <= 4
    for talk in again:
        assert (await talk.answered()).status == 200
    assert world.simulator.stats().exhausted <= exhausted + 1, "what a clean minute adds is tried"
    await trio.sleep(31 * 60)
    assert (await sidecar.json(b"/status"))["models"] == []
    assert 'sidecar_model_limit{model="m/crowded"}' not in await sidecar.metrics()


async def test_an_error_at_the_beginning_of_a_stream_is_tried_again_like_its_status(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    world.simulator.script_fault("worker-error-as-stream", count=2)
    talk = await sidecar.chat("m/x", stream=True, said="say: fine")
    assert talk.header(b"x-sidecar-attempts") == b"3"
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events(talk)) == "fine"
    assert (await sidecar.metrics())[
        'sidecar_upstream_errors_total{provider="nvidia",status_code="503"}'
    ] == 2
    assert (await model(sidecar, "m/x"))["limit"] == 1


async def test_a_stream_that_stays_an_error_is_relayed_after_the_last_attempt_as_it_came(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(max_retries=1)
    world.simulator.script_fault("worker-error-as-stream")
    talk = await sidecar.chat("m/x", stream=True)
    assert (talk.status, talk.header(b"content-type")) == (200, b"text/event-stream")
    assert talk.header(b"x-sidecar-attempts") == b"2"
    (event,) = events(talk)
    assert event["error"]["code"] == 503
    assert talk.body.endswith(b"data: [DONE]\n\n")
    metrics = await sidecar.metrics()
    assert metrics['sidecar_requests_total{priority="normal",status="error"}'] == 1


async def test_an_error_inside_a_stream_is_relayed_and_governs_the_model(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    talk = await sidecar.chat("fault/worker-error-in-stream", stream=True)
    assert talk.status == 200
    assert events(talk)[-1]["error"]["code"] == 503
    assert sidecar.simulator.stats().requests == 1, "nothing is tried again once the client has seen of it"
    known = await model(sidecar, "fault/worker-error-in-stream")
    assert (known["limit"], known["paused_until"] is not None) == (1, True)
    metrics = await sidecar.metrics()
    assert metrics['sidecar_upstream_errors_total{provider="nvidia",status_code="503"}'] == 1
    assert metrics['sidecar_requests_total{priority="normal",status="error"}'] == 1


# Trouble, and the breaker


async def test_five_failed_requests_in_a_row_close_the_model_and_no_other(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(max_retries=0)
    world.simulator.script_fault("500", model="m/broken")
    with capture_logs() as logs:
        for _ in range(5):
            assert (await sidecar.chat("m/broken")).status == 500
    sent = sidecar.simulator.stats().requests
    talk = await sidecar.chat("m/broken")
    assert (talk.status, talk.error) == (503, "upstream_down")
    assert talk.number(b"retry-after") == 5
    assert (await sidecar.chat("m/fine")).status == 200
    assert sidecar.simulator.stats().requests == sent + 1
    assert [line["model"] for line in logs if line["event"] == "model_down"] == ["m/broken"]
    known = await model(sidecar, "m/broken")
    assert (known["blocked"], known["evidence"][0]["count"]) == ("upstream_down", 5)
    capacity = await sidecar.json(b"/api/capacity")
    assert capacity["models"]["m/broken"]["blocked"] == "upstream_down"
    assert capacity["blocked"] is None, "the lane is none the worse"


async def test_a_broken_model_is_tried_by_one_request_at_a_time_until_one_succeeds(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(max_retries=0)
    world.simulator.script_fault("504", count=6, model="m/broken")
    for _ in range(5):
        await sidecar.chat("m/broken")
    await trio.sleep(5)
    world.simulator.change(latency=3)
    assert (await sidecar.chat("m/broken")).status == 504, "the trial"
    await trio.sleep(5)
    assert (await sidecar.chat("m/broken")).error == "upstream_down", "ten seconds this time"
    await trio.sleep(5)
    trial = sidecar.begin("m/broken")
    await trio.sleep(1)
    assert (await sidecar.chat("m/broken")).error == "upstream_down", "one at a time"
    assert (await trial.answered()).status == 200
    assert (await sidecar.chat("m/broken")).status == 200
    assert (await sidecar.json(b"/status"))["models"] == []


async def test_a_trial_that_hangs_up_leaves_it_to_the_next(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar(max_retries=0)
    world.simulator.script_fault("502", count=5, model="m/broken")
    for _ in range(5):
        await sidecar.chat("m/broken")
    await trio.sleep(5)
    world.simulator.change(latency=30)
    trial = sidecar.begin("m/broken")
    await trio.sleep(1)
    trial.hang_up()
    await wait_all_tasks_blocked()
    assert (await sidecar.chat("m/broken")).status == 200


async def test_a_success_in_between_begins_the_row_anew(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar(max_retries=0)
    world.simulator.script_fault("500", count=4)
    for _ in range(4):
        await sidecar.chat("m/x")
    assert (await sidecar.chat("m/x")).status == 200
    world.simulator.script_fault("500", count=4)
    for _ in range(4):
        assert (await sidecar.chat("m/x")).status == 500
    assert (await sidecar.chat("m/x")).status == 200


@pytest.mark.parametrize("kind", ["refused", "reset"])
async def test_five_failed_connections_block_the_lane_until_one_is_made(
    autojump_clock: MockClock, world: World, kind: str
) -> None:
    sidecar = world.sidecar(max_retries=0)
    world.line.refusals = -1 if kind == "refused" else 0
    world.simulator.script_fault("reset")
    with capture_logs() as logs:
        for number in range(5):
            assert (await sidecar.chat(f"m/{number}")).error == "upstream_unreachable"
        talk = await sidecar.chat("m/another")
    assert (talk.status, talk.error, talk.number(b"retry-after")) == (503, "upstream_down", 5)
    blocked = await sidecar.json(b"/api/capacity")
    assert (blocked["blocked"]["reason"], blocked["spare_rpm"]) == ("upstream_down", 0)
    assert (await lane(sidecar))["learnt"]["upstream_down"]["count"] == 5
    assert (await sidecar.metrics())['sidecar_lane_blocked{reason="upstream_down"}'] == 1
    assert [line["log_level"] for line in logs if line["event"] == "lane_blocked"] == ["critical"]
    await trio.sleep(5)
    assert (await sidecar.json(b"/api/capacity"))["blocked"] is None, "or nobody would be started to try"
    world.line.refusals = 0
    world.simulator.reset()
    with capture_logs() as logs:
        assert (await sidecar.chat()).status == 200
    assert [line["reason"] for line in logs if line["event"] == "lane_unblocked"] == ["upstream_down"]


async def test_those_that_wait_when_the_upstream_goes_down_hear_so_at_once(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(rate_rpm=6, bucket_capacity=6, max_retries=0)
    world.simulator.script_fault("504")
    await trio.sleep(1)
    waits = [sidecar.begin("m/x", headers=[(b"x-agent-id", b"%d" % n)]) for n in range(12)]
    for talk in waits:
        await talk.answered()
    codes = sorted(talk.status or 0 for talk in waits)
    assert codes.count(504) >= 5
    assert codes.count(503) == 12 - codes.count(504)
    assert trio.current_time() < 61, "nobody waited for the window"


# A model that cannot be had


@pytest.mark.parametrize(("kind", "status"), UNAVAILABLE)
async def test_a_model_that_cannot_be_had_is_remembered_for_a_minute(
    autojump_clock: MockClock, world: World, kind: str, status: int
) -> None:
    sidecar = world.sidecar()
    world.simulator.script_fault(kind, count=1, model="m/gone")
    first = await sidecar.chat("m/gone")
    again = await sidecar.chat("m/gone", stream=True)
    assert first.status == again.status == status
    assert again.body == first.body
    assert (first.header(b"x-sidecar-attempts"), again.header(b"x-sidecar-attempts")) == (b"1", b"0")
    assert sidecar.simulator.stats().requests == 1
    assert (await lane(sidecar))["window_used"] == 1
    metrics = await sidecar.metrics()
    assert metrics['sidecar_budget_saved_total{how="known_unavailable"}'] == 1
    assert metrics['sidecar_requests_total{priority="normal",status="success"}'] == 2
    assert (await model(sidecar, "m/gone"))["blocked"] == "unavailable"
    assert (await sidecar.json(b"/api/capacity"))["models"]["m/gone"]["blocked"] == "unavailable"
    assert (await sidecar.chat("m/there")).status == 200
    await trio.sleep(60)
    assert (await sidecar.chat("m/gone")).status == 200
    assert (await sidecar.json(b"/status"))["models"] == []


async def test_a_404_of_another_kind_is_not_remembered(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    for _ in range(2):
        body = b'{"model":"m/x"}'
        json_type = [(b"content-type", b"application/json")]
        talk = await sidecar.client.ask("POST", b"/v1/nothing/here", body, headers=json_type)
        assert talk.status == 404
    assert sidecar.simulator.stats().requests == 2


async def test_those_that_wait_for_it_hear_it_at_once(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar(rate_rpm=1)
    world.simulator.change(latency=1)
    world.simulator.script_fault("404", model="m/gone")
    first = sidecar.begin("m/gone")
    await wait_all_tasks_blocked()
    waits = [sidecar.begin("m/gone", headers=[(b"x-agent-id", b"%d" % n)]) for n in range(3)]
    for talk in [first, *waits]:
        assert (await talk.answered()).status == 404
    assert trio.current_time() <= 1
    assert sidecar.simulator.stats().requests == 1


async def test_what_one_account_cannot_have_another_may(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar(own_key=False)
    world.simulator.script_fault("404", count=1, model="m/x")
    mine, theirs = [(b"authorization", b"Bearer mine")], [(b"authorization", b"Bearer theirs")]
    assert (await sidecar.chat("m/x", headers=mine)).status == 404
    assert (await sidecar.chat("m/x", headers=theirs)).status == 200
    assert (await sidecar.chat("m/x", headers=mine)).status == 404


async def test_a_substitute_takes_its_place_where_the_settings_name_one(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(fallbacks={"m/gone": ("m/gone-too", "m/there")})
    world.simulator.script_fault("410", model="m/gone")
    world.simulator.script_fault("404", model="m/gone-too")
    body = b'{"messages": [{"role":"user","content":"say: yes"}], "model" : "m/gone", "n":1}'
    with capture_logs() as logs:
        talk = await sidecar.chat(body=body)
        assert (await sidecar.chat("m/gone")).status == 200
    assert talk.json["choices"][0]["message"]["content"] == "yes"
    assert sidecar.simulator.requests[2].body == body.replace(b"m/gone", b"m/there")
    assert talk.header(b"x-sidecar-attempts") == b"3"
    assert sidecar.simulator.stats().requests == 4, "the second request knew both"
    completed = [line for line in logs if line["event"] == "request_completed"]
    assert [(line["model"], line["substitute"]) for line in completed] == [("m/gone", "m/there")] * 2


async def test_only_a_model_that_cannot_be_had_is_substituted(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(fallbacks={"m/x": ("m/y",)}, max_retries=0)
    for kind, status in (("500", 500), ("429", 429), ("401", 401)):
        world.simulator.script_fault(kind, count=1, model="m/x")
        assert (await sidecar.chat("m/x")).status == status
        await trio.sleep(3)
    assert {record.model for record in sidecar.simulator.requests} == {"m/x"}


async def test_when_no_substitute_can_be_had_either_the_last_word_is_relayed(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(fallbacks={"m/a": ("m/b",)})
    world.simulator.script_fault("410", model="m/a")
    world.simulator.script_fault("400-degraded", model="m/b")
    assert (await sidecar.chat("m/a")).status == 400
    assert sidecar.simulator.stats().requests == 2


# The account's matter


async def test_a_refused_key_is_told_beside_an_upstream_that_is_down(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(max_retries=0)
    await sidecar.chat("fault/402")
    world.line.refusals = -1
    world.simulator.script_fault("reset")
    for number in range(5):
        await sidecar.chat(f"m/{number}")
    assert (await sidecar.json(b"/api/capacity"))["blocked"]["reason"] == "upstream_down"
    metrics = await sidecar.metrics()
    assert metrics['sidecar_lane_blocked{reason="upstream_down"}'] == 1
    assert metrics['sidecar_lane_blocked{reason="no_credits"}'] == 1
    await trio.sleep(6)
    assert (await sidecar.json(b"/api/capacity"))["blocked"]["reason"] == "no_credits"


async def test_what_is_learnt_of_models_is_bounded(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar(rate_rpm=100_000, bucket_capacity=100_000, max_retries=0)
    for number in range(60):
        for kind in ("503-workers", "404", "500"):
            name = f"m/{kind}/{number}"
            world.simulator.script_fault(kind, model=name, count=1)
            await sidecar.chat(name)
        await trio.sleep(3)
    models = (await sidecar.json(b"/status"))["models"]
    assert sum(entry["limit"] is not None for entry in models) <= 50
    assert sum(entry["blocked"] == "unavailable" for entry in models) <= 50
    metrics = await sidecar.metrics()
    assert sum(name.startswith("sidecar_model_limit") for name in metrics) <= 50
