"""A hang-up is told to whoever listens, once, whether it comes before or after the listening."""

import trio

from shared.asgi import HANG_UP, HangUp, Receive, Scope, Send
from tests.shared.asgi_client import connect, running

REQUEST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"


def test_one_that_listens_hears_it_when_it_happens() -> None:
    hang_up, heard = HangUp(), list[str]()
    hang_up.listen(lambda: heard.append("gone"))
    assert heard == []
    hang_up.happen()
    assert heard == ["gone"]


def test_one_that_listens_too_late_hears_it_at_once() -> None:
    hang_up, heard = HangUp(), list[str]()
    hang_up.happen()
    hang_up.listen(lambda: heard.append("gone"))
    assert heard == ["gone"]


def test_one_that_listens_no_more_hears_nothing() -> None:
    hang_up, heard = HangUp(), list[str]()
    hang_up.listen(lambda: heard.append("gone"))
    hang_up.listen(None)
    hang_up.happen()
    assert heard == []


async def test_a_client_that_leaves_before_the_app_listens_is_heard() -> None:
    heard = trio.Event()

    async def app(scope: Scope, receive: Receive, _send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope["extensions"][HANG_UP].listen(heard.set)

    with trio.fail_after(5):
        async with running(app) as port:
            stream = await connect(port)
            await stream.send_all(REQUEST)
            await stream.aclose()
            await heard.wait()
