"""Nothing but what is under /v1 ever reaches the upstream, and that under the very name it came with."""

import pytest
from trio.testing import MockClock

from tests.edge.conftest import World


@pytest.mark.parametrize(
    "target",
    [
        b"http://169.254.169.254/latest/meta-data",
        b"http://localhost:9190/v1/chat/completions",
        b"//evil.com/v1/x",
        b"/v1//evil.com/x/../../y",
        b"/v1/../admin",
        b"/v1/..",
        b"/v1/./x",
        b"/v1/%2e%2e/admin",
        b"/v1/%2e%2e%2fadmin",
        b"/v1/%252e%252e%252fadmin",
        b"/v1/..%2fadmin",
        b"/v1/..%5cadmin",
        b"/v1/x\\..\\y",
        b"/v1/x%00y",
        b"/v1/x%0d%0aHost:%20evil",
        b"/v1/x%zz",
        b"/v1/\xc3\xa9",
        b"/v1/x y",
        b"*",
    ],
)
async def test_a_path_that_two_might_read_differently_is_refused(
    autojump_clock: MockClock, world: World, target: bytes
) -> None:
    sidecar = world.sidecar()
    talk = await sidecar.client.get(target)
    assert (talk.status, talk.error) == (400, "invalid_request")
    assert sidecar.simulator.requests == []


@pytest.mark.parametrize(
    "target",
    [
        b"/%761/chat/completions",
        b"/V1/chat/completions",
        b"/v1%2fchat/completions",
        b"/v11/x",
        b"/status/v1/x",
        b"/health/",
        b"/status/",
    ],
)
async def test_what_only_resembles_v1_does_not_exist(
    autojump_clock: MockClock, world: World, target: bytes
) -> None:
    sidecar = world.sidecar()
    talk = await sidecar.client.get(target)
    assert (talk.status, talk.error) == (404, "not_found")
    assert sidecar.simulator.requests == []


@pytest.mark.parametrize("target", [b"/v1/", b"/v1/files/x%2Fy", b"/v1/a;b=c/d", b"/v1/x?y=../../z"])
async def test_whatever_else_is_under_v1_is_the_upstreams(
    autojump_clock: MockClock, world: World, target: bytes
) -> None:
    sidecar = world.sidecar()
    await sidecar.client.get(target)
    assert sidecar.last.target == target.decode()


@pytest.mark.parametrize(
    "target", [b"/health", b"/health/ready", b"/status", b"/api/agents", b"/openapi.json"]
)
async def test_our_own_pages_are_not_forwarded(
    autojump_clock: MockClock, world: World, target: bytes
) -> None:
    sidecar = world.sidecar()
    assert (await sidecar.client.get(target)).status == 200
    assert {record.path for record in sidecar.simulator.requests} <= {"/v1/models"}


@pytest.mark.parametrize(
    "name",
    [b"meta/llama-3.1-8b-instruct", b"meta%2Fllama-3.1-8b-instruct", b"meta%2fllama%2D3.1-8b-instruct"],
)
async def test_a_model_is_found_by_its_name_with_its_slash_in_either_form(
    autojump_clock: MockClock, world: World, name: bytes
) -> None:
    sidecar = world.sidecar()
    model = await sidecar.json(b"/v1/models/" + name)
    assert model["id"] == "meta/llama-3.1-8b-instruct"


async def test_the_list_of_models_is_the_upstreams_asked_for_once(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    first = await sidecar.client.get(b"/v1/models")
    second = await sidecar.client.get(b"/v1/models?limit=5")
    assert first.status == second.status == 200
    assert first.body == second.body
    assert len(first.json["data"]) == 12
    assert [record.path for record in sidecar.simulator.requests] == ["/v1/models"]
    status = await sidecar.json(b"/status")
    assert status["requests"] == {"total": 2, "nvidia": 0, "passthrough": 2, "ratelimited": 0}
    assert status["lanes"][0]["window_used"] == 0


async def test_where_the_list_is_not_for_everybody_our_key_opens_it(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar()
    world.simulator.script_fault("401", path="/v1/models", count=1)
    await sidecar.client.ask(
        "GET", b"/v1/models", headers=[(b"authorization", b"Bearer held-by-the-sidecar")]
    )
    assert sidecar.last.header("authorization") == (
        f"Bearer {sidecar.settings.upstream_api_key.get_secret_value()}"
    )


@pytest.mark.parametrize(
    "upstream",
    ["http://127.0.0.1:9", "http://127.0.0.1:9/", "http://127.0.0.1:9/v1/", "http://127.0.0.1:9/v1/v1"],
)
async def test_v1_is_never_doubled(autojump_clock: MockClock, world: World, upstream: str) -> None:
    sidecar = world.sidecar(upstream_url=upstream)
    await sidecar.chat()
    assert sidecar.last.target == "/v1/chat/completions"


async def test_a_base_path_of_the_upstream_stands_before_v1(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar(upstream_url="http://127.0.0.1:9/some/gateway/")
    await sidecar.client.get(b"/v1/x?y")
    assert sidecar.last.target == "/some/gateway/v1/x?y"
