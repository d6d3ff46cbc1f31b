"""Known clients: who is not listed does not call, and nobody is more urgent than allowed."""

import hashlib
from typing import Any

import pytest
from trio.testing import MockClock

from proxy.settings import Client
from tests.edge.conftest import KEY, World


def known(key: str, **more: Any) -> Client:
    return Client(name="ops", key_sha256=hashlib.sha256(key.encode()).hexdigest(), **more)


@pytest.mark.parametrize("credentials", [None, b"Bearer wrong", b"Bearer", b"Basic theirs"])
@pytest.mark.parametrize("target", [b"/v1/chat/completions", b"/v1/models"])
async def test_a_stranger_is_told_to_bring_a_key(
    autojump_clock: MockClock, world: World, target: bytes, credentials: bytes | None
) -> None:
    sidecar = world.sidecar(clients=(known("theirs"),))
    headers = [] if credentials is None else [(b"authorization", credentials)]
    method = "GET" if target == b"/v1/models" else "POST"
    talk = await sidecar.client.ask(method, target, b"{}" if method == "POST" else b"", headers=headers)
    assert (talk.status, talk.error) == (401, "missing_key")
    assert sidecar.simulator.requests == []


async def test_a_known_client_calls_with_our_key_and_at_most_its_priority(
    autojump_clock: MockClock, world: World
) -> None:
    sidecar = world.sidecar(clients=(known("theirs", max_priority="normal"),))
    headers = [(b"authorization", b"Bearer theirs"), (b"x-priority", b"urgent")]
    assert (await sidecar.chat(headers=headers)).status == 200
    assert sidecar.last.header("authorization") == f"Bearer {KEY}"
    metrics = await sidecar.metrics()
    assert metrics['sidecar_requests_total{priority="normal",status="success"}'] == 1


async def test_our_key_is_in_no_error_compressed_or_not(autojump_clock: MockClock, world: World) -> None:
    sidecar = world.sidecar()
    world.simulator.script_fault("echo-key", path="/v1/models", count=1)
    for talk in (await sidecar.chat("fault/echo-key"), await sidecar.client.get(b"/v1/models")):
        assert talk.status in {500, 200}
        assert KEY.encode() not in talk.body
