"""`POST /mcp`, as it comes over the wire: who may what, and what no client should send."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.edge.asgi import Talk
from tests.edge.scheduler.office import ADMIN, TASKS, Office

ACCEPT = [(b"accept", b"application/json, text/event-stream")]
INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "a test", "version": "1"},
}


async def rpc(
    office: Office, method: str, params: object = None, *, token: str | None = None, **more: Any
) -> Talk:
    message: dict[str, object] = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
    return await office.ask("POST", "/mcp", message, token=token, headers=list(ACCEPT), **more)


async def call(office: Office, tool: str, *, token: str | None = None, **arguments: object) -> Any:
    """What the tool says, and whether that is an error."""
    talk = await rpc(office, "tools/call", {"name": tool, "arguments": arguments}, token=token)
    assert talk.status == 200, talk
    result = talk.json["result"]
    (content,) = result["content"]
    return json.loads(content["text"]), result["isError"]


async def done(office: Office, tool: str, **arguments: Any) -> Any:
    said, is_error = await call(office, tool, **arguments)
    assert not is_error, said
    return said


async def refused(office: Office, tool: str, **arguments: Any) -> str:
    said, is_error = await call(office, tool, **arguments)
    assert is_error, said
    assert set(said) == {"error"}
    assert said["error"]["message"]
    return str(said["error"]["code"])


async def test_a_conversation_begins_and_needs_no_session(office: Office) -> None:
    begun = await rpc(office, "initialize", INITIALIZE)
    assert begun.json["result"]["serverInfo"]["name"] == "clawpace-board"
    assert begun.json["result"]["protocolVersion"] == "2025-06-18"
    assert begun.header(b"mcp-session-id") is None
    assert begun.header(b"cache-control") == b"no-store"
    message = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    noted = await office.ask("POST", "/mcp", message, token=None, headers=list(ACCEPT))
    assert (noted.status, noted.body) == (202, b"")


async def test_an_agent_works_from_the_claim_to_the_result_by_tools_alone(office: Office) -> None:
    task = await office.create("Count", assignee="coo")
    claim = await office.claim(task)
    assert (await done(office, "board_list", claimable=False, status=["claimed"]))["tasks"][0]["id"] == task
    beat = await done(office, "board_heartbeat", claim=claim, turn=2, note="half")
    assert (beat["status"], beat["turns"]) == ("working", 2)
    await done(office, "board_comment", claim=claim, text="which boxes?")
    await done(office, "board_observe", claim=claim, text="the gate is closed")
    handed_in = await done(
        office, "board_output", claim=claim, content_base64="NDI=", name="n.txt", final=True
    )
    assert (handed_in["status"], handed_in["output"]["size_bytes"]) == ("review", 2)
    card = await done(office, "board_read", task=task, full=True)
    assert [said["text"] for said in card["comments"]] == ["half", "which boxes?"]
    assert card["observations"][0]["text"] == "the gate is closed"
    assert office.desk.changes, "something may start now"
    assert claim not in repr(office.denials)


async def test_a_claim_in_the_header_speaks_for_every_call_of_a_client(office: Office) -> None:
    first, second = await office.create("one"), await office.create("two")
    claim = await office.claim(first)
    await done(office, "board_comment", token=claim, text="mine")
    further = await done(office, "board_claim", token=claim)
    assert (further["id"], further["task"]["claimant"]) == (second, "coo")
    await done(office, "board_release", claim=further["claim"], token=claim, reason="not mine")
    assert await office.status_of(second) == "pending"
    listed = (await rpc(office, "tools/list", token=claim)).json["result"]["tools"]
    assert all("claim" not in tool["inputSchema"]["required"] for tool in listed)


async def test_an_operator_claims_for_an_agent_and_can_decide_nothing_here(office: Office) -> None:
    task = await office.create("one", review="person")
    claimed = await done(office, "board_claim", token=ADMIN, agent="qa", task=task)
    await done(office, "board_output", claim=claimed["claim"], text="x", final=True)
    for verb in ("board_decide", "decide", "board_fail", "board_cancel", "board_set"):
        talk = await rpc(office, "tools/call", {"name": verb, "arguments": {"task": task}}, token=ADMIN)
        assert talk.json["error"]["code"] == -32602
    assert await office.status_of(task) == "review"


async def test_reading_is_open_and_writing_needs_a_claim(office: Office) -> None:
    task = await office.create()
    assert (await done(office, "board_read", task=task))["id"] == task
    assert await refused(office, "board_claim", task=task, agent="coo") == "unauthorized"
    assert await refused(office, "board_comment", task=task, text="x") == "unauthorized"
    assert office.denials == [("nobody", task, "unauthorized")] * 2


async def test_where_others_reach_the_port_reading_needs_a_token_that_holds(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    office = Office(tmp_path, nursery, listen_host="192.0.2.1")
    task = await office.create()
    claim = await office.claim(task)
    assert await refused(office, "board_read", task=task) == "unauthorized"
    assert (await done(office, "board_read", task=task, token=claim))["id"] == task
    assert office.denials == []
    office.store.close()


async def test_the_codes_are_those_of_every_other_way(office: Office) -> None:
    task, other = await office.create(), await office.create()
    claim = await office.claim(task)
    assert await refused(office, "board_read", task="T-9999") == "not_found"
    assert await refused(office, "board_claim", token=ADMIN, agent="qa", task=task) == "already_claimed"
    assert await refused(office, "board_comment", claim=claim, task=other, text="x") == "stale_claim"
    assert await refused(office, "board_comment", claim=claim, text="") == "invalid"
    assert await refused(office, "board_comment", claim=claim) == "invalid"
    assert await refused(office, "board_output", claim=claim) == "invalid"
    assert await refused(office, "board_output", claim=claim, text="x", name="../x") == "invalid"
    assert await refused(office, "board_heartbeat", claim=claim, turn="three") == "invalid"
    assert await refused(office, "board_claim", claim=claim, agent="qa") == "forbidden"
    assert office.denials == [(f"the claim {task}.1", "next", "forbidden")]


async def test_a_token_of_an_older_epoch_changes_nothing(office: Office) -> None:
    task = await office.create()
    old = await office.claim(task)
    await done(office, "board_release", claim=old)
    await office.claim(task, "qa")
    for tool, arguments in (("board_output", {"text": "x", "final": True}), ("board_block", {"reason": "x"})):
        assert await refused(office, tool, claim=old, **arguments) == "stale_claim"
    assert await office.status_of(task) == "claimed"


async def test_a_wrong_token_is_no_token_at_all(office: Office) -> None:
    talk = await rpc(office, "tools/list", token="neither-of-both")
    assert (talk.status, talk.error) == (401, "unauthorized")


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_there_is_no_stream_to_listen_to_and_no_session_to_end(office: Office, method: str) -> None:
    talk = await office.ask(method, "/mcp", headers=list(ACCEPT))
    assert (talk.status, talk.header(b"allow")) == (405, b"POST")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([(b"origin", b"http://evil.example")], "forbidden_origin"),
        ([(b"origin", b"null")], "forbidden_origin"),
        ([(b"sec-fetch-site", b"cross-site")], "forbidden_origin"),
    ],
)
async def test_a_page_of_somebody_elses_reaches_no_tool(
    office: Office, headers: list[tuple[bytes, bytes]], code: str
) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    talk = await office.ask("POST", "/mcp", message, token=None, headers=ACCEPT + headers)
    assert (talk.status, talk.error) == (403, code)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 50_000, -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"x":NaN}}', None),
        (b"[]", -32602),
        (b'"text"', -32602),
        (b'{"jsonrpc":"1.0","id":1,"method":"tools/list"}', -32602),
        (b'{"jsonrpc":"2.0","id":{},"method":"tools/list"}', None),
        (b'{"jsonrpc":"2.0","id":1,"method":"nonsense"}', -32601),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"board_list","arguments":[]}}',
            None,
        ),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}', None),
    ],
)
async def test_what_is_no_message_is_answered_as_the_protocol_says(
    office: Office, body: bytes, code: int | None
) -> None:
    talk = await office.ask("POST", "/mcp", body, token=None, headers=list(ACCEPT))
    assert talk.status in {200, 202, 400, 404}
    if code is not None:
        assert talk.json["error"]["code"] == code
    assert b"Traceback" not in talk.body


async def test_a_comment_with_half_an_emoji_is_refused_and_harms_nobody(office: Office) -> None:
    claim = await office.claim(await office.create())
    body = (
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"board_comment",'
        f'"arguments":{{"claim":"{claim}","text":"\\ud83d"}}}}}}'
    )
    talk = await office.ask("POST", "/mcp", body.encode(), token=None, headers=list(ACCEPT))
    assert talk.status == 400 or talk.json["result"]["isError"]
    await done(office, "board_comment", claim=claim, text="\N{SHIP} whole")


@pytest.mark.parametrize("content_type", [b"text/plain", b"multipart/form-data; boundary=x", b""])
async def test_only_json_is_read(office: Office, content_type: bytes) -> None:
    headers = [*ACCEPT, (b"content-type", content_type)]
    talk = await office.ask("POST", "/mcp", token=None, headers=headers, pieces=(b"{}",))
    assert (talk.status, talk.error) == (415, "invalid_request")


async def test_a_client_that_takes_no_json_is_told_so(office: Office) -> None:
    headers = [(b"accept", b"text/html")]
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    assert (await office.ask("POST", "/mcp", message, token=None, headers=headers)).status == 406


async def test_a_body_over_the_limit_is_refused_by_its_length_and_while_it_comes(office: Office) -> None:
    headers = [*ACCEPT, (b"content-type", b"application/json"), (b"content-length", b"3000000")]
    talk = await office.client.begin("POST", b"/mcp", headers=headers, more_to_come=True).answered()
    assert (talk.status, talk.error) == (413, "body_too_large")
    big = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"x": "y" * 2_100_000}}
    talk = await office.ask("POST", "/mcp", big, token=None, headers=list(ACCEPT))
    assert (talk.status, talk.error) == (413, "body_too_large")
    chunked = [*ACCEPT, (b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
    talk = await office.ask("POST", "/mcp", token=None, headers=chunked, pieces=(b" " * 700_000,) * 4)
    assert (talk.status, talk.error) == (413, "body_too_large")


async def test_a_fault_of_ours_is_told_without_its_words(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the words of a fault")

    monkeypatch.setattr(office.board, "read", broken)
    said, is_error = await call(office, "board_list")
    assert is_error
    assert said["error"]["code"] == "internal_error"
    assert "words of a fault" not in json.dumps(said)


async def test_what_is_asked_by_tool_counts_as_what_is_asked_by_path(office: Office) -> None:
    by_path = await office.get(f"{TASKS}/{await office.create()}")
    assert await done(office, "board_read", task=by_path["id"]) == by_path


@pytest.mark.parametrize("version", [b"1999-01-01", b"x" * 3_000, b"\xff"])
async def test_a_version_that_nobody_speaks_is_refused_by_the_protocol(
    office: Office, version: bytes
) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = [*ACCEPT, (b"mcp-protocol-version", version)]
    talk = await office.ask("POST", "/mcp", message, token=None, headers=headers)
    assert talk.status == 400
    assert talk.json["error"]["code"] < 0
