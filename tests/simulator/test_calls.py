"""Tool calls that are scripted."""

import json
from typing import Any

import pytest

from proxy.simulator import Config, open_simulator
from proxy.simulator.bodies import CHAT, Body, read
from proxy.simulator.calls import ToolCall, ToolCalls
from tests.simulator.client import Answer, Client, chat, connected

TOOL = {"type": "function", "function": {"name": "board_output", "parameters": {"type": "object"}}}


def _body(said: object, *tools: object) -> Body:
    message = {"role": "user", "content": said}
    body = read(CHAT, json.dumps({"model": "m", "messages": [message], "tools": tools}).encode())
    assert isinstance(body, Body)
    return body


def test_arguments_are_filled_with_what_was_said_wherever_they_stand() -> None:
    call = ToolCall(
        name="f",
        arguments={"claim": "{claim}", "deep": [{"a": "<{claim}{none}>"}], "final": True},
        find={"claim": r"pass: (\S+)", "none": "(never)"},
    )
    written = json.loads(call.written(_body([{"type": "text", "text": "pass: T-1.1 and on"}])))
    assert written == {"claim": "T-1.1", "deep": [{"a": "<T-1.1>"}], "final": True}


@pytest.mark.parametrize("pattern", ["(", "no group", "(one)(two)"])
def test_a_pattern_that_finds_nothing_to_fill_in_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"not a pattern|one group"):
        ToolCall(name="f", find={"x": pattern})


def test_a_script_waits_for_a_request_that_offers_its_tool_and_is_played_once() -> None:
    calls = ToolCalls()
    calls.script(ToolCall(name="board_output", arguments={"n": 1}))
    calls.script(ToolCall(name="board_output", arguments={"n": 2}))
    assert calls.take(_body("hello")) is None
    played = [calls.take(_body("hello", TOOL)) for _ in range(3)]
    assert [call and call.arguments for call in played] == [{"n": 1}, {"n": 2}, None]


@pytest.mark.parametrize("tools", [None, "x", [None], [{"function": 1}], [{"function": {"name": 2}}]])
def test_tools_of_any_shape_are_let_through(tools: object) -> None:
    body = read(CHAT, json.dumps({**chat(), "tools": tools}).encode())
    assert isinstance(body, Body)
    assert body.offered() == frozenset()


async def test_a_call_is_answered_whole_and_as_a_stream_and_then_words_again() -> None:
    async with open_simulator(Config(latency=0, chunk_gap=0)) as simulator, connected(simulator) as client:
        for _ in range(2):
            script = {"name": "board_output", "arguments": {"text": "42"}}
            assert (await client.ask(script, path="/_sim/call")).status == 200

        (choice,) = (await _chat(client)).json["choices"]
        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["content"] is None
        _is_the_call(choice["message"]["tool_calls"][0])

        events = [json.loads(event) for event in (await _chat(client, stream=True)).events[:-1]]
        deltas = [event["choices"][0] for event in events]
        assert deltas[-1]["finish_reason"] == "tool_calls"
        (called,) = [delta["delta"]["tool_calls"][0] for delta in deltas if "tool_calls" in delta["delta"]]
        assert called["index"] == 0
        _is_the_call(called)

        assert (await _chat(client)).json["choices"][0]["finish_reason"] == "stop"


async def test_a_call_that_a_fault_would_swallow_waits_for_the_next_try() -> None:
    async with open_simulator(Config(latency=0)) as simulator, connected(simulator) as client:
        simulator.add_call(ToolCall(name="board_output"))
        simulator.script_fault("500", count=1)
        assert (await _chat(client)).status == 500
        assert (await _chat(client)).json["choices"][0]["finish_reason"] == "tool_calls"


def _is_the_call(call: dict[str, Any]) -> None:
    assert (call["type"], call["function"]["name"]) == ("function", "board_output")
    assert json.loads(call["function"]["arguments"]) == {"text": "42"}


async def _chat(client: Client, *, stream: bool = False) -> Answer:
    return await client.ask(chat(tools=[TOOL], stream=stream))
