"""Bodies that are too large, too slow, or not what they say."""

import pytest
import trio
from trio.testing import MockClock

from scheduler.api.incoming import GRACE_SECONDS, MOST_JSON_BYTES, SLOWEST_BYTES_PER_SECOND
from tests.edge.scheduler.office import TASKS, Office

CHUNKED = (b"transfer-encoding", b"chunked")
JSON = (b"content-type", b"application/json")


async def test_a_body_that_announces_too_much_is_refused_before_it_is_read(
    autojump_clock: MockClock, office: Office
) -> None:
    talk = office.begin(
        "POST",
        TASKS,
        headers=[JSON, (b"content-length", b"%d" % (MOST_JSON_BYTES + 1))],
        pieces=None,
        more_to_come=True,
    )
    await talk.heard()
    assert (talk.status, talk.error) == (413, "body_too_large")
    assert talk.header(b"connection") == b"close"
    await talk.answered()


async def test_a_body_that_grows_too_large_is_refused_while_it_comes(
    autojump_clock: MockClock, office: Office
) -> None:
    piece = b" " * 100_000
    talk = office.begin("POST", TASKS, headers=[JSON, CHUNKED], pieces=(piece,) * 22)
    await talk.heard()
    assert (talk.status, talk.error) == (413, "body_too_large")


async def test_a_body_that_stops_coming_is_408(autojump_clock: MockClock, office: Office) -> None:
    talk = office.begin("POST", TASKS, headers=[JSON, CHUNKED], pieces=(b'{"title"',), more_to_come=True)
    await talk.heard()
    assert (talk.status, talk.error) == (408, "invalid_request")
    allowed = GRACE_SECONDS + 8 / SLOWEST_BYTES_PER_SECOND
    assert trio.current_time() == pytest.approx(allowed, abs=0.1)
    await talk.answered()


async def test_a_client_that_goes_while_sending_changes_nothing(office: Office) -> None:
    talk = office.begin("POST", TASKS, headers=[JSON, CHUNKED], pieces=(b'{"title":"x"}',), more_to_come=True)
    await trio.testing.wait_all_tasks_blocked()
    talk.hang_up()
    await talk.cut()
    assert (await office.get(TASKS))["tasks"] == []


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b"text/plain",
        b"application/x-www-form-urlencoded",
        b"application/jsonp",
        b"multipart/form-data; boundary=x",
    ],
)
async def test_a_type_that_is_not_json_is_415(office: Office, content_type: bytes) -> None:
    headers = [(b"content-type", content_type)] if content_type else []
    talk = await office.ask("POST", TASKS, headers=headers, pieces=(b'{"title":"x"}',))
    assert (talk.status, talk.error) == (415, "invalid_request")


async def test_json_may_say_its_character_set(office: Office) -> None:
    headers = [(b"content-type", b"Application/JSON; charset=utf-8")]
    assert (await office.ask("POST", TASKS, headers=headers, pieces=(b'{"title":', b'"x"}'))).status == 201


async def test_a_compressed_body_is_415(office: Office) -> None:
    headers = [JSON, (b"content-encoding", b"gzip")]
    talk = await office.ask("POST", TASKS, headers=headers, pieces=(b"\x1f\x8b",))
    assert (talk.status, talk.error) == (415, "invalid_request")


async def test_whoever_is_refused_with_an_unread_body_hears_why(
    autojump_clock: MockClock, office: Office
) -> None:
    for method, path, status in (("POST", "/nowhere", 404), ("PUT", TASKS, 405), ("POST", TASKS, 401)):
        talk = office.begin(
            method, path, headers=[JSON, CHUNKED], pieces=(b"x",), more_to_come=True, token="wrong"
        )
        await talk.heard()
        assert (talk.status, talk.header(b"connection")) == (status, b"close")
        await talk.answered()


async def test_another_sites_page_and_another_name_get_nothing(office: Office) -> None:
    for headers, code in (
        ([(b"host", b"evil.com")], "forbidden_host"),
        ([(b"origin", b"http://evil.com")], "forbidden_origin"),
        ([(b"origin", b"null")], "forbidden_origin"),
        ([(b"sec-fetch-site", b"cross-site")], "forbidden_origin"),
    ):
        assert await office.error("POST", TASKS, {"title": "x"}, headers=headers) == (403, code)
        assert await office.error("GET", "/api/events", headers=headers) == (403, code)
