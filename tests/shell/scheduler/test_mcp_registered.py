"""What OpenClaw's configuration says of the board's tools, and how often it is asked."""

from collections.abc import Mapping
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from scheduler.gateway import AnswerLostError, Gateway
from scheduler.mcp.registered import KNOWN_FOR_SECONDS, UNKNOWN_FOR_SECONDS, Registered, prefix_in

URL = "http://127.0.0.1:8083/mcp"
HTTP = {"url": URL, "transport": "streamable-http"}


def configured(tools: object = None, **servers: object) -> dict[str, Any]:
    return {"mcp": {"servers": servers}, "tools": tools}


class FakeGateway:
    """Answers with its configuration, or not at all."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config: Mapping[str, Any] | None = config
        self.asked = 0

    async def call(self, method: str, params: Mapping[str, object]) -> dict[str, Any]:
        assert (method, params) == ("config.get", {})
        self.asked += 1
        await trio.lowlevel.checkpoint()
        if self.config is None:
            raise AnswerLostError("no answer came")
        return {"config": self.config}


def registered(gateway: FakeGateway) -> Registered:
    return Registered(cast(Gateway, gateway), URL)


@pytest.mark.parametrize(
    "server",
    [
        HTTP,
        {"url": "http://localhost:8083/mcp/"},
        {"url": "http://[::1]:8083/mcp", "enabled": True},
        {"command": "/opt/clawpace/bin/blackboard", "args": ["mcp", "--url", "http://127.0.0.1:8083"]},
    ],
)
def test_tools_are_called_after_the_name_of_the_server_that_leads_here(server: object) -> None:
    assert prefix_in(configured(other={"url": "http://127.0.0.1:1/mcp"}, board=server), URL) == "board__"


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"mcp": None},
        {"mcp": {"servers": ["board"]}},
        configured(board=None),
        configured(board={}),
        configured(board={"url": "http://127.0.0.1:8084/mcp"}),
        configured(board={"url": "http://board.example:8083/mcp"}),
        configured(board={"url": "http://[127.0.0.1/mcp"}),
        configured(board={"url": "http://127.0.0.1:port/mcp"}),
        configured(board={**HTTP, "enabled": False}),
        configured(board={"command": "/usr/bin/blackboard-2", "args": ["mcp"]}),
        configured(board={"command": "blackboard", "args": ["list"]}),
        configured(board={"command": "blackboard"}),
        configured(**{"das Brett": HTTP}),
        configured({"deny": ["board__*"]}, board=HTTP),
        configured({"deny": ["exec", "bundle-mcp"]}, board=HTTP),
    ],
)
def test_what_does_not_lead_here_gives_nobody_tools(config: Mapping[str, Any]) -> None:
    assert prefix_in(config, URL) == ""


@pytest.mark.parametrize("tools", [None, {"deny": "exec"}, {"deny": ["exec", 7]}, ["deny"]])
def test_what_is_denied_besides_does_not_matter(tools: object) -> None:
    assert prefix_in(configured(tools, board=HTTP), URL) == "board__"


async def test_the_gateway_is_asked_again_when_its_answer_has_grown_old(autojump_clock: MockClock) -> None:
    gateway = FakeGateway(configured(board=HTTP))
    parts = registered(gateway)
    assert repr(parts) == "<Registered, as nothing>"
    assert [await parts.prefix(), await parts.prefix()] == ["board__"] * 2
    assert gateway.asked == 1
    assert repr(parts) == "<Registered, as board__>"
    gateway.config = {}
    await trio.sleep(KNOWN_FOR_SECONDS)
    assert await parts.prefix() == ""
    assert gateway.asked == 2


async def test_a_gateway_that_does_not_answer_is_left_alone_for_a_while(autojump_clock: MockClock) -> None:
    gateway = FakeGateway(configured(board=HTTP))
    parts = registered(gateway)
    assert await parts.prefix() == "board__"
    gateway.config = None
    await trio.sleep(KNOWN_FOR_SECONDS)
    assert [await parts.prefix(), await parts.prefix()] == ["board__"] * 2, "what was true stays likely"
    assert gateway.asked == 2
    await trio.sleep(UNKNOWN_FOR_SECONDS)
    gateway.config = {}
    assert await parts.prefix() == ""
