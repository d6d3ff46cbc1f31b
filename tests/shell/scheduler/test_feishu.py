"""Telling a group of Feishu, in the words and at the pace that its bot takes, whatever it answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import httpx
import pytest
import trio
from pydantic import SecretStr
from structlog.testing import capture_logs
from trio.testing import MockClock

from scheduler.notifications import FeishuSender
from scheduler.notifications.feishu import ANSWER_SECONDS
from scheduler.notifications.letters import Letter
from scheduler.notifications.outcomes import Later, Never, Outcome, Told
from scheduler.roster import FeishuTarget
from tests.core.scheduler.test_feishu_wire import CARD, a_letter
from tests.feishu_stand_in import WEBHOOK, FeishuStandIn, answered
from tests.shell.scheduler.test_sidecar import Body

KEY = WEBHOOK.rpartition("/")[2]


@asynccontextmanager
async def sending(transport: httpx.AsyncBaseTransport) -> AsyncIterator[FeishuSender]:
    sender = FeishuSender(transport=transport)
    try:
        yield sender
    finally:
        await sender.aclose()


async def send(
    bot: FeishuStandIn, letter: Letter | None = None, *, secret: str = "", address: str = WEBHOOK
) -> Outcome:
    """One letter; nothing that is said of it holds the address or the secret."""
    with capture_logs() as lines:
        async with sending(bot.transport) as sender:
            target = FeishuTarget(SecretStr(address), SecretStr(secret))
            outcome = await sender.send(target, letter or a_letter())
    said = f"{outcome!r} {lines!r} {sender!r}"
    assert KEY not in said
    assert not secret or secret not in said
    return outcome


async def test_a_letter_is_told_and_signed(autojump_clock: MockClock) -> None:
    bot = FeishuStandIn(secret="of-the-bot")
    assert await send(bot, a_letter("你好"), secret="of-the-bot") == Told()
    assert bot.texts == ["你好"]


async def test_a_card_is_told_as_one(autojump_clock: MockClock) -> None:
    bot = FeishuStandIn()
    assert await send(bot, a_letter(card=CARD.as_json())) == Told()
    assert bot.texts == ["FIRING: HostDown"]


@pytest.mark.parametrize("secret", ["wrong-secret", ""])
async def test_a_wrong_signature_is_a_refusal_for_good(autojump_clock: MockClock, secret: str) -> None:
    bot = FeishuStandIn(secret="of-the-bot")
    outcome = await send(bot, secret=secret)
    assert isinstance(outcome, Never)
    assert "19021" in outcome.error


async def test_a_letter_that_is_too_long_is_cut_and_told(autojump_clock: MockClock) -> None:
    bot = FeishuStandIn(secret="s3cret")
    assert await send(bot, a_letter("汉\n" * 20_000), secret="s3cret") == Told()
    assert bot.texts[0].endswith("(cut: too long for one message)")


async def test_a_bot_is_never_spoken_to_faster_than_it_takes(autojump_clock: MockClock) -> None:
    bot = FeishuStandIn()
    target = FeishuTarget(SecretStr(WEBHOOK), SecretStr(""))
    async with sending(bot.transport) as sender:
        for number in range(250):
            assert await sender.send(target, a_letter(f"{number}")) == Told()
    assert not bot.refused
    assert bot.texts == [f"{number}" for number in range(250)]
    assert all(one <= other for one, other in pairwise(bot.seen_at))
    assert trio.current_time() < 3 * 61, "and not much slower"


async def test_another_bot_need_not_wait(autojump_clock: MockClock) -> None:
    bot = FeishuStandIn()
    async with sending(bot.transport) as sender:
        for _ in range(5):
            await sender.send(FeishuTarget(SecretStr(WEBHOOK), SecretStr("")), a_letter())
        other = FeishuTarget(SecretStr(f"{WEBHOOK}2"), SecretStr(""))
        assert await sender.send(other, a_letter()) == Never("Feishu answered 404")
    assert trio.current_time() == 0


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ({"code": 9499, "msg": "too many request"}, Later),
        ({"code": 11232, "msg": "frequency limited"}, Later),
        ({"code": 19001, "msg": f"no bot at {WEBHOOK}"}, Never),
        (answered(WEBHOOK, 500), Later),
        (answered("", 302), Never),
        (answered("<html>"), Later),
        (httpx.ConnectError(WEBHOOK), Later),
        (httpx.ReadError(WEBHOOK), Later),
        (httpx.ReadTimeout(WEBHOOK), Later),
        (httpx.UnsupportedProtocol(WEBHOOK), Never),
    ],
)
async def test_whatever_it_answers_is_an_outcome(
    autojump_clock: MockClock, answer: dict[str, object] | httpx.Response | Exception, outcome: type[Outcome]
) -> None:
    bot = FeishuStandIn()
    bot.answers = [answer]
    assert isinstance(await send(bot), outcome)
    assert not bot.messages


async def test_a_bot_that_never_answers_takes_no_longer_than_its_time(autojump_clock: MockClock) -> None:
    async def never(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Body(b"x", for_ever=True, seconds=0.5))

    async with sending(httpx.MockTransport(never)) as sender:
        outcome = await sender.send(FeishuTarget(SecretStr(WEBHOOK), SecretStr("")), a_letter())
    assert isinstance(outcome, Later)
    assert trio.current_time() == ANSWER_SECONDS


async def test_an_answer_without_an_end_is_not_kept(autojump_clock: MockClock) -> None:
    body = Body(b"x" * 60_000, for_ever=True, seconds=0.001)

    async def floods(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=body)

    async with sending(httpx.MockTransport(floods)) as sender:
        outcome = await sender.send(FeishuTarget(SecretStr(WEBHOOK), SecretStr("")), a_letter())
    assert isinstance(outcome, Later)


async def test_a_sender_without_bots_opens_nothing(autojump_clock: MockClock) -> None:
    sender = FeishuSender()
    await sender.aclose()
    assert repr(sender) == "<FeishuSender, 0 bots>"
