"""What the sidecar tells about itself: exactly the contract's keys and types, and true when it is told."""

import re
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.edge.conftest import World

Json = dict[str, Any]
NUMBER = (int, float)
BANDS = {"urgent", "high", "normal", "low"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

CAPACITY: Json = {
    "effective_rpm": NUMBER,
    "spare_rpm": NUMBER,
    "window_used": int,
    "window_limit": int,
    "queue_depth": int,
    "expected_wait_seconds": dict.fromkeys(BANDS, NUMBER),
    "retreat_state": str,
    "quiet_until": type(None),
    "blocked": type(None),
}
STATUS: Json = {
    "requests": dict.fromkeys(("total", "nvidia", "passthrough", "ratelimited"), int),
    "errors": dict.fromkeys(("queue_full_rejects", "upstream_errors"), int),
    "queue": {
        "max_size": int,
        "current_size": int,
        "total_enqueued": int,
        "total_dequeued": int,
        "total_dropped": int,
        "depth_by_priority": dict.fromkeys(BANDS, int),
        "full_policy": str,
        "utilization": NUMBER,
    },
    "token_bucket": dict.fromkeys(("tokens", "capacity", "rate_per_minute", "utilization"), NUMBER),
    "retreat": {
        "state": str,
        "effective_rpm": NUMBER,
        "base_rpm": NUMBER,
        "learnt_ceiling_rpm": type(None),
        "upstream_429_rate": NUMBER,
    },
    "lanes": list,
    "models": list,
    "uptime_seconds": NUMBER,
}
MODEL: Json = {
    "id": str,
    "blocked": type(None),
    "blocked_until": type(None),
    "limit": type(None),
    "in_flight": int,
    "paused_until": type(None),
    "own_rate_limit": bool,
    "evidence": list,
}
EVIDENCE: Json = {"what": str, "count": int, "first_at": str, "last_at": str}
AGENT: Json = {
    "agent": str,
    "session": str,
    "queued": int,
    "in_flight": int,
    "oldest_wait_seconds": NUMBER,
    "last_answer_at": str,
    "requests": int,
    "throttled": int,
    "prompt_tokens": int,
    "completion_tokens": int,
}
READY = (
    "ready",
    "upstream_reachable",
    "queue_healthy",
    "token_bucket_healthy",
    "draining",
    "degraded",
)
METRICS = {
    "sidecar_requests_total": "counter",
    "sidecar_tokens_available": "gauge",
    "sidecar_tokens_rate": "gauge",
    "sidecar_queue_depth": "gauge",
    "sidecar_queue_latency_seconds": "histogram",
    "sidecar_upstream_latency_seconds": "histogram",
    "sidecar_upstream_errors_total": "counter",
    "sidecar_fallback_passthrough_total": "counter",
    "sidecar_health_status": "gauge",
    "sidecar_uptime_seconds": "gauge",
    "sidecar_retreat_state": "gauge",
    "sidecar_effective_rate_rpm": "gauge",
    "sidecar_upstream_429_rate": "gauge",
    "sidecar_window_used": "gauge",
    "sidecar_window_limit": "gauge",
    "sidecar_time_to_first_chunk_seconds": "histogram",
    "sidecar_retries_total": "counter",
    "sidecar_inflight": "gauge",
    "sidecar_budget_saved_total": "counter",
    "sidecar_queue_max": "gauge",
    "sidecar_upstream_up": "gauge",
    "sidecar_lane_blocked": "gauge",
    "sidecar_foreign_429_total": "counter",
    "sidecar_build_info": "gauge",
}


def check(value: Any, shape: Any, where: str = "$") -> None:
    """`value` has exactly the keys of `shape`, each of its type."""
    if isinstance(shape, dict):
        assert isinstance(value, dict), where
        assert set(value) == set(shape), where
        for key, inner in shape.items():
            check(value[key], inner, f"{where}.{key}")
    else:
        kinds = shape if isinstance(shape, tuple) else (shape,)
        assert type(value) in kinds, f"{where}: {value!r}"


async def test_health_says_alive_since_when_and_which(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    await trio.sleep(12.5)
    health = await sidecar.json(b"/health")
    check(health, {"status": str, "uptime": float, "version": str})
    assert (health["status"], health["uptime"]) == ("ok", 12.5)


async def test_ready_says_what_is_missing(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    check(await sidecar.json(b"/health/ready"), dict.fromkeys(READY, bool))
    world.simulator.script_fault("silence", path="/v1/models", count=1)
    await sidecar.client.get(b"/health/ready")
    assert len(world.simulator.requests) == 1, "its last answer is good for ten seconds"
    await trio.sleep(11)
    talk = await sidecar.client.get(b"/health/ready")
    assert talk.status == 503
    check(talk.json, dict.fromkeys(READY, bool))
    assert (talk.json["ready"], talk.json["upstream_reachable"]) == (False, False)
    await trio.sleep(11)
    assert (await sidecar.client.get(b"/health/ready")).status == 200


async def test_an_answer_of_any_kind_says_that_the_upstream_is_there(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    await sidecar.chat("fault/404")
    assert (await sidecar.json(b"/health/ready"))["upstream_reachable"]
    assert len(world.simulator.requests) == 1


async def test_an_upstream_that_is_silent_is_not_reachable_after_five_seconds(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    world.line.swallows = True
    assert (await sidecar.client.get(b"/health/ready")).status == 503
    assert trio.current_time() == 5


async def test_an_empty_bucket_is_normal_work_and_a_queue_at_ninety_percent_is_not_ready(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(rate_rpm=1, queue_max_size=10, queue_timeout=10_000)
    await sidecar.spend(1)
    ready = await sidecar.json(b"/health/ready")
    assert (ready["token_bucket_healthy"], ready["queue_healthy"], ready["ready"]) == (False, True, True)
    for _ in range(8):
        sidecar.begin()
    await wait_all_tasks_blocked()
    assert (await sidecar.client.get(b"/health/ready")).status == 200
    assert (await sidecar.metrics())["sidecar_health_status"] == 1
    sidecar.begin()
    await wait_all_tasks_blocked()
    talk = await sidecar.client.get(b"/health/ready")
    assert (talk.status, talk.json["queue_healthy"]) == (503, False)
    assert (await sidecar.metrics())["sidecar_health_status"] == 0


async def test_status_has_exactly_the_keys_and_types_of_the_contract(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    await sidecar.chat()
    status = await sidecar.json(b"/status")
    check(status, STATUS)
    (lane,) = status["lanes"]
    check(
        lane,
        {
            **CAPACITY,
            "name": str,
            "tokens": NUMBER,
            "outside_queue": int,
            "foreign_429": int,
            "learnt": dict.fromkeys(("ceiling", "another_spender", "upstream_down"), type(None)),
            "degraded": bool,
        },
    )
    assert status["requests"] == {"total": 1, "nvidia": 1, "passthrough": 0, "ratelimited": 0}
    assert status["token_bucket"] == {
        "tokens": 39.0,
        "capacity": 40,
        "rate_per_minute": 40.0,
        "utilization": 0.025,
    }
    assert status["retreat"]["base_rpm"] == 40


async def test_status_counts_what_waits_by_priority(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar(rate_rpm=1, queue_max_size=10, queue_timeout=10_000, low_priority_timeout=10_000)
    await sidecar.spend(1)
    for band in (b"urgent", b"high", b"high", b"low"):
        sidecar.begin(headers=[(b"x-priority", band)])
    await wait_all_tasks_blocked()
    queue = (await sidecar.json(b"/status"))["queue"]
    assert queue["depth_by_priority"] == {"urgent": 1, "high": 2, "normal": 0, "low": 1}
    assert (queue["current_size"], queue["max_size"], queue["utilization"]) == (4, 10, 0.4)
    assert (queue["total_enqueued"], queue["total_dequeued"]) == (5, 1)
    metrics = await sidecar.metrics()
    assert metrics['sidecar_queue_depth{priority="high"}'] == 2
    assert metrics["sidecar_queue_max"] == 10


async def test_capacity_has_exactly_the_keys_and_types_of_the_contract(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    await sidecar.spend(4)
    capacity = await sidecar.json(b"/api/capacity")
    check(capacity, {**CAPACITY, "lanes": list, "models": dict})
    (lane,) = capacity["lanes"]
    check(lane, {**CAPACITY, "name": str, "models": dict, "at_floor": bool})
    assert {key: lane[key] for key in CAPACITY} == {key: capacity[key] for key in CAPACITY}
    assert (capacity["effective_rpm"], capacity["spare_rpm"]) == (40.0, 36.0)
    assert (capacity["window_used"], capacity["window_limit"]) == (4, 40)


async def test_capacity_tells_a_pause_a_quiet_period_and_their_ends(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    world.simulator.script_fault("retry-after", value="20", count=1)
    sidecar.begin("meta/llama")
    await trio.sleep(1)
    capacity = await sidecar.json(b"/api/capacity")
    assert TIME.fullmatch(capacity["quiet_until"])
    check(
        capacity["models"], {"meta/llama": {"blocked": type(None), "limit": type(None), "paused_until": str}}
    )
    assert TIME.fullmatch(capacity["models"]["meta/llama"]["paused_until"])
    (model,) = (await sidecar.json(b"/status"))["models"]
    check(model, {**MODEL, "paused_until": str})
    assert capacity["expected_wait_seconds"]["urgent"] >= 19
    await trio.sleep(30)
    capacity = await sidecar.json(b"/api/capacity")
    assert (capacity["quiet_until"], capacity["models"]) == (None, {})


async def test_spare_is_never_below_zero(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar(rate_rpm=2, queue_timeout=10_000)
    await sidecar.spend(1)
    for _ in range(10):
        sidecar.begin()
    await wait_all_tasks_blocked()
    capacity = await sidecar.json(b"/api/capacity")
    assert capacity["spare_rpm"] == 0
    waits = capacity["expected_wait_seconds"]
    assert waits["urgent"] <= waits["high"] <= waits["normal"] <= waits["low"]


async def test_agents_tell_who_waits_and_for_how_long(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar(rate_rpm=1)
    headers = [(b"x-agent-id", b"crab"), (b"x-session-affinity", b"s1")]
    await sidecar.chat(headers=headers)
    sidecar.begin(headers=headers)
    await trio.sleep(7.5)
    (row,) = await sidecar.json(b"/api/agents")
    check(row, AGENT)
    assert TIME.fullmatch(row["last_answer_at"])
    assert (row["agent"], row["session"], row["queued"], row["in_flight"]) == ("crab", "s1", 1, 0)
    assert (row["oldest_wait_seconds"], row["requests"], row["throttled"]) == (7.5, 2, 0)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (2, 8)


async def test_agents_tell_what_is_under_way_and_was_throttled(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    world.simulator.change(latency=10)
    sidecar.begin("fault/429-1")
    await trio.sleep(5)
    (row,) = await sidecar.json(b"/api/agents")
    assert (row["queued"], row["in_flight"], row["throttled"]) == (0, 1, 1)
    assert row["last_answer_at"] is None


@pytest.mark.parametrize("name", ["\U0001f600 crab", "<script>", "a\tb", "\u202e"])
async def test_an_agent_may_have_any_name(autojump_clock: MockClock, world: World, name: str) -> None:
    sidecar = world.sidecar()
    await sidecar.chat(user=name)
    assert [row["agent"] for row in await sidecar.json(b"/api/agents")] == [name]


async def test_a_name_that_cannot_be_shown_is_refused_and_spoils_no_page(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(max_retries=0)
    for body in (b'{"model":"m","user":"\\ud83d"}', b'{"model":"fault/429\\ud83d"}'):
        talk = await sidecar.chat(body=body)
        assert (talk.status, talk.error) == (400, "invalid_request")
    for page in (b"/api/agents", b"/status", b"/api/capacity"):
        assert (await sidecar.client.get(page)).status == 200


async def test_at_most_five_hundred_agents_are_told(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar(rate_rpm=100_000, bucket_capacity=100_000)
    for number in range(510):
        await sidecar.chat(headers=[(b"x-agent-id", b"%d" % number)])
    rows = await sidecar.json(b"/api/agents")
    assert [row["agent"] for row in rows] == [str(number) for number in range(509, 9, -1)]


async def test_the_description_names_every_page_and_its_exact_keys(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    description = await sidecar.json(b"/openapi.json")
    assert description["openapi"].startswith("3.")
    assert set(description["paths"]) == {
        "/health",
        "/health/ready",
        "/status",
        "/api/capacity",
        "/api/agents",
        "/openapi.json",
    }
    await sidecar.chat()
    for path, operations in description["paths"].items():
        answers = operations["get"]["responses"]
        schema = answers["200"]["content"]["application/json"]["schema"]
        _conforms(await sidecar.json(path.encode()), schema, path)


def _conforms(value: Any, schema: Json, where: str) -> None:
    """As much of JSON Schema as the description uses."""
    if "anyOf" in schema:
        (inner,) = [one for one in schema["anyOf"] if (one.get("type") == "null") is (value is None)]
        _conforms(value, inner, where)
    elif schema.get("type") == "object" and "properties" in schema:
        assert set(value) == set(schema["properties"]) == set(schema["required"]), where
        for key, inner in schema["properties"].items():
            _conforms(value[key], inner, f"{where}.{key}")
    elif schema.get("type") == "array":
        for item in value:
            _conforms(item, schema["items"], f"{where}[]")
    elif "enum" in schema:
        assert value in schema["enum"], where
    elif "const" in schema:
        assert value == schema["const"], where
    else:
        kinds: dict[str, tuple[type, ...]] = {
            "integer": (int,),
            "number": NUMBER,
            "string": (str,),
            "boolean": (bool,),
            "object": (dict,),
            "null": (type(None),),
        }
        assert type(value) in kinds[schema["type"]], f"{where}: {value!r}"


async def test_every_metric_of_the_contract_is_there_with_its_kind(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    await sidecar.chat("fault/500-1")
    page = (await sidecar.scraper.get(b"/metrics")).body.decode()
    kinds = dict(re.findall(r"^# TYPE (sidecar_\w+) (\w+)$", page, flags=re.MULTILINE))
    assert kinds == METRICS


async def test_no_label_carries_a_model_an_agent_or_a_key(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    await sidecar.chat("publisher-x/fault", headers=[(b"x-agent-id", b"crab-y")])
    await sidecar.chat("fault/429-1", headers=[(b"x-agent-id", b"crab-y")])
    labels = {label for name in await sidecar.metrics() for label in re.findall(r'(\w+)="', name)}
    ours = {label for label in labels if label not in {"generation", "implementation", "major", "minor"}}
    assert ours == {
        "priority",
        "status",
        "provider",
        "status_code",
        "reason",
        "how",
        "le",
        "version",
        "patchlevel",
    }
    page = (await sidecar.scraper.get(b"/metrics")).body
    assert b"publisher-x" not in page
    assert b"crab-y" not in page


async def test_counters_count_by_outcome(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar(max_retries=1)
    await sidecar.chat()
    await sidecar.chat("fault/404", headers=[(b"x-priority", b"high")])
    await sidecar.chat("fault/500")
    await sidecar.chat("fault/reset")
    await sidecar.chat("fault/302")
    await sidecar.chat("fault/429")
    await sidecar.chat(body=b"{")
    await sidecar.chat("fault/reset-in-stream", stream=True)
    metrics = await sidecar.metrics()
    counts = {
        (name.split('"')[1], name.split('"')[3]): value
        for name, value in metrics.items()
        if name.startswith("sidecar_requests_total") and value
    }
    assert counts == {
        ("normal", "success"): 1,
        ("high", "success"): 1,
        ("normal", "error"): 4,
        ("normal", "ratelimited"): 1,
        ("normal", "rejected"): 1,
    }
    errors = {
        name.split('"')[3] if name.split('"')[1] == "nvidia" else name.split('"')[1]: value
        for name, value in metrics.items()
        if name.startswith("sidecar_upstream_errors_total")
    }
    assert errors == {"500": 2, "reset": 3, "redirect": 1, "429": 2}
    assert metrics['sidecar_retries_total{reason="trouble"}'] == 1
    assert metrics['sidecar_retries_total{reason="reset"}'] == 1
    assert metrics['sidecar_retries_total{reason="throttled"}'] == 1
    status = await sidecar.json(b"/status")
    assert status["requests"] == {"total": 8, "nvidia": 8, "passthrough": 0, "ratelimited": 1}
    assert status["errors"] == {"queue_full_rejects": 0, "upstream_errors": 8}


async def test_gauges_are_true_at_every_scrape_idle_or_not(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar(rate_rpm=4, bucket_capacity=4)
    world.simulator.change(latency=5)
    start = await sidecar.metrics()
    assert (start["sidecar_tokens_available"], start["sidecar_window_used"]) == (4, 0)
    assert start["sidecar_window_limit"] == start["sidecar_tokens_rate"] == 4
    talks = [sidecar.begin() for _ in range(4)]
    await trio.sleep(1)
    busy = await sidecar.metrics()
    assert (
        busy["sidecar_inflight"]
        + sum(value for name, value in busy.items() if name.startswith("sidecar_queue_depth"))
        == 4
    )
    assert busy["sidecar_window_used"] == busy["sidecar_inflight"]
    for talk in talks:
        await talk.answered()
    await trio.sleep(3600)
    idle = await sidecar.metrics()
    assert (idle["sidecar_tokens_available"], idle["sidecar_window_used"], idle["sidecar_inflight"]) == (
        4,
        0,
        0,
    )
    assert idle["sidecar_uptime_seconds"] == trio.current_time()


async def test_a_scrape_finds_out_whether_the_upstream_is_up(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    world.line.refusals = -1
    down = await sidecar.metrics()
    assert (down["sidecar_upstream_up"], down["sidecar_health_status"]) == (0, 0)
    world.line.refusals = 0
    await trio.sleep(11)
    up = await sidecar.metrics()
    assert (up["sidecar_upstream_up"], up["sidecar_health_status"]) == (1, 1)


async def test_429s_drive_the_retreat_and_everybody_is_told(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar(max_retries=0)
    for number in range(6):
        world.simulator.script_fault("429", count=1)
        await sidecar.chat(f"model/{number}")
    assert (await sidecar.metrics())["sidecar_upstream_429_rate"] == 1
    assert (await sidecar.metrics())["sidecar_foreign_429_total"] == 6
    await trio.sleep(16)
    metrics = await sidecar.metrics()
    assert metrics["sidecar_retreat_state"] == 1
    assert metrics["sidecar_effective_rate_rpm"] == metrics["sidecar_tokens_rate"] == 30
    retreat = (await sidecar.json(b"/status"))["retreat"]
    assert (retreat["state"], retreat["effective_rpm"], retreat["base_rpm"]) == ("retreat", 30.0, 40.0)
    capacity = await sidecar.json(b"/api/capacity")
    assert (capacity["retreat_state"], capacity["lanes"][0]["at_floor"]) == ("retreat", False)
    await trio.sleep(600)
    assert (await sidecar.metrics())["sidecar_retreat_state"] == 0


async def test_the_metrics_port_has_the_same_guard_and_one_page(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    evil = await sidecar.scraper.ask("GET", b"/metrics", headers=[(b"host", b"evil.com")])
    assert (evil.status, evil.error) == (403, "forbidden_host")
    other = await sidecar.scraper.get(b"/status")
    assert (other.status, other.error) == (404, "not_found")
