"""The list of models: no slot, but otherwise a request like any other."""

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from proxy.models import RETRY_SECONDS
from tests.edge.conftest import World


@pytest.mark.parametrize("status", [500, 429, 402])
async def test_an_upstream_that_cannot_list_is_heard_in_its_own_words(
    autojump_clock: MockClock, world: World, status: int
) -> None:
    sidecar = world.sidecar()
    world.simulator.script_fault(str(status), path="/v1/models", count=1)
    talk = await sidecar.client.get(b"/v1/models")
    assert talk.status == status
    assert talk.header(b"x-sidecar-request-id")
    assert (await sidecar.client.get(b"/v1/models")).status == status
    assert len(sidecar.simulator.requests) == 1, "the upstream is left alone for a moment"
    await trio.sleep(RETRY_SECONDS)
    assert (await sidecar.client.get(b"/v1/models")).status == 200


async def test_it_is_counted_and_logged_and_costs_no_slot(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    with capture_logs() as lines:
        assert (await sidecar.client.get(b"/v1/models")).status == 200
    (line,) = [line for line in lines if line["event"] == "request_completed"]
    assert (line["path"], line["status"], line["outcome"], line["attempts"]) == (
        "/v1/models",
        200,
        "success",
        0,
    )
    status = await sidecar.json(b"/status")
    assert status["requests"] == {"total": 1, "nvidia": 0, "passthrough": 1, "ratelimited": 0}
    assert status["lanes"][0]["window_used"] == 0


async def test_it_is_not_served_by_one_that_stops(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    sidecar.lifecycle.begin_drain()
    talk = await sidecar.client.get(b"/v1/models")
    assert (talk.status, talk.json["error"]["code"]) == (503, "draining")
