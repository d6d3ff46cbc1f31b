import json

import pytest
import trio
from trio.testing import MockClock

from shared.answers import answer_json, error_body, refuse, refuse_unread
from shared.asgi import Message, Receive, Scope, Send
from tests.shared.asgi_client import ask, http_scope


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("invalid_json", "invalid_request_error"),
        ("missing_key", "authentication_error"),
        ("forbidden_host", "permission_error"),
        ("not_found", "not_found_error"),
        ("rate_limited", "rate_limit_error"),
        ("draining", "server_error"),
    ],
)
def test_an_error_has_the_shape_openai_clients_read(code: str, kind: str) -> None:
    assert json.loads(error_body(code, "no")) == {
        "error": {"message": "no", "type": kind, "code": code, "param": None}
    }


def test_a_caller_may_name_the_type_itself() -> None:
    assert json.loads(error_body("x", "no", kind="server_error"))["error"]["type"] == "server_error"


async def test_an_answer_is_one_head_and_one_body_with_its_length() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await answer_json(send, 200, {"a": 1}, [(b"x-extra", b"1")])

    answer = await ask(app, http_scope())
    assert (answer.status, answer.body, answer.complete) == (200, b'{"a":1}', True)
    assert answer.headers == {
        b"content-type": b"application/json",
        b"content-length": b"7",
        b"x-extra": b"1",
    }
    assert len(answer.messages) == 2


async def test_a_refusal_keeps_the_connection() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await refuse(send, 404, "not_found", "no", [(b"x-extra", b"1")])

    answer = await ask(app, http_scope())
    assert (answer.status, answer.code) == (404, "not_found")
    assert b"connection" not in answer.headers
    assert answer.headers[b"x-extra"] == b"1"


async def test_an_unread_body_is_drained_between_the_answer_and_its_end() -> None:
    order: list[str] = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        async def heard() -> Message:
            order.append("receive")
            return await receive()

        async def sent(message: Message) -> None:
            order.append("send")
            await send(message)

        await refuse_unread(heard, sent, 413, "body_too_large", "no")

    answer = await ask(app, http_scope(), b"a", b"b", b"c")
    assert (answer.status, answer.code, answer.complete) == (413, "body_too_large", True)
    assert answer.headers[b"connection"] == b"close"
    assert order == ["send", "send", "receive", "receive", "receive", "send"]


async def test_a_client_that_hangs_up_ends_the_draining() -> None:
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await refuse_unread(gone, send, 413, "body_too_large", "no")
    assert [message.get("more_body") for message in sent] == [None, True]


async def test_a_client_that_never_stops_sending_is_left_after_two_seconds(autojump_clock: MockClock) -> None:
    async def forever() -> Message:
        await trio.sleep(0.3)
        return {"type": "http.request", "body": b"x", "more_body": True}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    begun = trio.current_time()
    await refuse_unread(forever, send, 413, "body_too_large", "no")
    assert trio.current_time() - begun == pytest.approx(2)
    assert sent[-1]["more_body"] is False
