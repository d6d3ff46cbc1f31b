"""What one attempt is taken for."""

import gzip
from email.utils import formatdate

import pytest
from trio.testing import MockClock

from proxy.attempt import Result, Stored, attempt
from proxy.core.classify import WORKERS_FULL_MARK, Meaning
from proxy.upstream import Answer, Failure
from shared import clock
from tests.shell.upstreams import BREAK, QUESTION, Reply, ScriptedUpstream


async def attempted(step: Reply | Meaning) -> Result:
    return await attempt(ScriptedUpstream(step), QUESTION, lambda: None)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_a_success_is_not_read_before_it_is_relayed(autojump_clock: MockClock, status: int) -> None:
    reply = Reply(status, b"body")
    result = await attempted(reply)
    assert isinstance(result.answer, Answer)
    assert result.meaning is Meaning.ANSWERED
    assert result.succeeded
    assert result.label == str(status)
    assert not reply.body.closed
    await result.answer.aclose()
    assert reply.body.closed


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (400, Meaning.ANSWERED),
        (401, Meaning.KEY_REJECTED),
        (402, Meaning.NO_CREDITS),
        (403, Meaning.ANSWERED),
        (404, Meaning.ANSWERED),
        (410, Meaning.ANSWERED),
        (422, Meaning.ANSWERED),
        (429, Meaning.THROTTLED),
        (500, Meaning.TROUBLE),
        (502, Meaning.TROUBLE),
        (503, Meaning.TROUBLE),
        (504, Meaning.TROUBLE),
    ],
)
async def test_an_error_is_read_whole_and_closed_before_anything_is_made_of_it(
    autojump_clock: MockClock, status: int, meaning: Meaning
) -> None:
    reply = Reply(status, b"one ", b"two", headers=[(b"X-Kind", b"Mixed")])
    result = await attempted(reply)
    assert result.answer == Stored(status, [(b"x-kind", b"Mixed")], b"one two")
    assert (result.meaning, result.retry_after, result.succeeded) == (meaning, None, False)
    assert reply.body.closed


@pytest.mark.parametrize("packed", [False, True])
async def test_full_workers_are_known_by_their_words_also_in_gzip(
    autojump_clock: MockClock, packed: bool
) -> None:
    body = b'{"error":{"message":"ResourceExhausted: ' + WORKERS_FULL_MARK + b' reached (16/16)"}}'
    headers = [(b"Content-Encoding", b"gzip")] if packed else []
    sent = gzip.compress(body) if packed else body
    result = await attempted(Reply(503, sent[:10], sent[10:], headers=headers))
    assert result.meaning is Meaning.WORKERS_FULL
    assert isinstance(result.answer, Stored)
    assert result.answer.body == sent, "what is relayed is what came"


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 101])
async def test_a_redirect_is_no_answer(autojump_clock: MockClock, status: int) -> None:
    reply = Reply(status, b"", headers=[(b"Location", b"http://evil.test/")])
    result = await attempted(reply)
    assert result.answer == Failure(Meaning.REDIRECT, str(status))
    assert result.label == "redirect"
    assert reply.body.closed


@pytest.mark.parametrize("meaning", [Meaning.UNREACHABLE, Meaning.RESET, Meaning.SILENT, Meaning.GARBAGE])
async def test_a_failure_is_told_by_its_meaning(autojump_clock: MockClock, meaning: Meaning) -> None:
    result = await attempted(meaning)
    assert isinstance(result.answer, Failure)
    assert (result.meaning, result.label) == (meaning, meaning.value)


async def test_an_error_whose_body_breaks_off_is_still_that_error(autojump_clock: MockClock) -> None:
    result = await attempted(Reply(429, b'{"status":4', BREAK))
    assert result.meaning is Meaning.THROTTLED
    assert isinstance(result.answer, Failure), "half a body is not passed on as a whole one"
    assert (await attempted(Reply(404, b"{", BREAK))).meaning is Meaning.RESET


async def test_an_error_without_an_end_is_read_only_so_far(autojump_clock: MockClock) -> None:
    reply = Reply(500, *[b"x" * 65_536] * 100)
    result = await attempted(reply)
    assert isinstance(result.answer, Stored)
    assert (1 << 20) <= len(result.answer.body) <= (1 << 20) + 65_536
    assert reply.body.closed


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"7", 7.0),
        (b" 2.5 ", 2.5),
        (b"0", 0.0),
        (b"-1", -1.0),
        (b"1000000000", 1e9),
        (b"1e9", 1e9),
        (b"", None),
        (b"soon", None),
        (b"\xff\xfe", None),
        (b"Wed, 99 Foo 2026 07:28:00 GMT", None),
        (b"Wed, 21 Oct 99999999 07:28:00 GMT", None),
    ],
)
async def test_a_retry_after_is_taken_as_it_is_said(
    autojump_clock: MockClock, value: bytes, seconds: float | None
) -> None:
    assert (await attempted(Reply(429, headers=[(b"Retry-After", value)]))).retry_after == seconds


@pytest.mark.parametrize("ahead", [30, -30, 10**6])
async def test_a_retry_after_may_be_a_date(autojump_clock: MockClock, ahead: int) -> None:
    date = formatdate(clock.wall() + ahead, usegmt=True).encode()
    result = await attempted(Reply(429, headers=[(b"retry-after", date)]))
    assert result.retry_after is not None
    assert result.retry_after == pytest.approx(ahead, abs=5)


EVENTS = [(b"Content-Type", b"text/event-stream; charset=utf-8")]
CHUNK = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
FRAME = b'data: {"error":{"message":"ResourceExhausted: ' + WORKERS_FULL_MARK + b'","code":503}}\n\n'


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("packed", [False, True])
async def test_a_stream_that_begins_with_an_error_is_that_error(
    autojump_clock: MockClock, size: int, packed: bool
) -> None:
    sent = gzip.compress(FRAME + b"data: [DONE]\n\n") if packed else FRAME + b"data: [DONE]\n\n"
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    headers = [*EVENTS, (b"Content-Encoding", b"gzip")] if packed else EVENTS
    reply = Reply(200, *pieces, headers=headers)
    result = await attempted(reply)
    assert (result.meaning, result.label, result.succeeded) == (Meaning.WORKERS_FULL, "503", False)
    assert isinstance(result.answer, Stored)
    assert result.answer.body == sent
    again = result.answer.for_anybody()
    assert (again.status, again.body, again.error) == (503, FRAME[6:-2], None)
    assert reply.body.closed


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_stream_that_begins_well_loses_no_byte(autojump_clock: MockClock, size: int) -> None:
    sent = b": hello\n\n" + CHUNK * 3 + FRAME
    reply = Reply(200, *[sent[at : at + size] for at in range(0, len(sent), size)], headers=EVENTS)
    result = await attempted(reply)
    assert result.succeeded
    assert isinstance(result.answer, Answer)
    assert await result.answer.read() == sent
    await result.answer.aclose()


@pytest.mark.parametrize("body", [[], [b"data: half an event"], [b"x" * 60_000] * 3, [b"\n\n\n\n"]])
async def test_a_stream_without_a_first_event_is_passed_on_as_it_is(
    autojump_clock: MockClock, body: list[bytes]
) -> None:
    result = await attempted(Reply(200, *body, headers=EVENTS))
    assert isinstance(result.answer, Answer)
    assert await result.answer.read() == b"".join(body)
    await result.answer.aclose()


async def test_a_stream_that_breaks_in_its_first_event_has_not_begun(autojump_clock: MockClock) -> None:
    reply = Reply(200, b"data: half", BREAK, headers=EVENTS)
    result = await attempted(reply)
    assert result.meaning is Meaning.RESET
    assert isinstance(result.answer, Failure)
    assert reply.body.closed


async def test_what_follows_an_error_is_not_waited_for_long(autojump_clock: MockClock) -> None:
    endless = Reply(200, FRAME, *[b"x" * 8000] * 1000, headers=EVENTS)
    result = await attempted(endless)
    assert isinstance(result.answer, Stored)
    assert len(result.answer.body) < 30_000
    broken = await attempted(Reply(200, FRAME, BREAK, headers=EVENTS))
    assert isinstance(broken.answer, Stored)
    assert broken.answer.body == FRAME


async def test_an_error_that_is_the_clients_matter_is_no_reason_to_try_again(
    autojump_clock: MockClock,
) -> None:
    frame = b'data: {"error":{"message":"bad","code":422}}\n\n'
    result = await attempted(Reply(200, frame, headers=EVENTS))
    assert (result.meaning, result.succeeded) == (Meaning.ANSWERED, False)


async def test_what_is_said_again_to_others_is_plain(autojump_clock: MockClock) -> None:
    body = b"{\"detail\":\"Function 'x': Not found for account 'y'\"}"
    headers = [(b"Content-Type", b"application/json"), (b"Content-Encoding", b"gzip")]
    result = await attempted(Reply(404, gzip.compress(body), headers=headers))
    assert result.meaning is Meaning.UNAVAILABLE
    assert isinstance(result.answer, Stored)
    assert result.answer.for_anybody() == Stored(404, [(b"content-type", b"application/json")], body)
