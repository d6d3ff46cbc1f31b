"""What a Feishu bot is sent, and what its answers mean."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.notifications.card import Card, Level, read_card
from scheduler.notifications.feishu_wire import MOST_BYTES, body, signature, verdict
from scheduler.notifications.letters import Letter
from scheduler.notifications.outcomes import Later, Never, Outcome, Told
from scheduler.notifications.pace import LIMITS, Pace
from tests.core.scheduler.test_letters import unsent

CARD = Card(
    "FIRING: HostDown", Level.CRITICAL, (("Severity", "critical"),), "It is down.", "https://x.example/d"
)


def a_letter(text: str = "hello", card: dict[str, object] | None = None) -> Letter:
    return Letter((unsent(1),), text, card)


def sent(letter: Letter, secret: str = "") -> dict[str, Any]:
    encoded = body(letter, timestamp=1_800_000_000, secret=secret)
    assert len(encoded) <= MOST_BYTES
    message: dict[str, Any] = json.loads(encoded)
    return message


def test_the_signature_is_an_hmac_over_nothing() -> None:
    wanted = hmac.new(b"1800000000\nsecret", b"", hashlib.sha256).digest()
    assert signature(1_800_000_000, "secret") == base64.b64encode(wanted).decode()
    # Computed with openssl: printf '' | openssl dgst -sha256 -hmac $'1599360473\ndemo' -binary | base64
    assert signature(1599360473, "demo") == "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="


def test_a_text_is_sent_as_text_and_signed_where_there_is_a_secret() -> None:
    assert sent(a_letter("你好")) == {"msg_type": "text", "content": {"text": "你好"}}
    signed = sent(a_letter(), "secret")
    assert (signed["timestamp"], signed["sign"]) == ("1800000000", signature(1_800_000_000, "secret"))


def test_a_card_is_sent_as_a_card_in_which_nothing_is_markup() -> None:
    message = sent(a_letter(card=CARD.as_json()))
    assert message["msg_type"] == "interactive"
    header = message["card"]["header"]
    assert header == {"title": {"tag": "plain_text", "content": "FIRING: HostDown"}, "template": "red"}
    shown = json.dumps(message["card"])
    assert "lark_md" not in shown
    assert "https://x.example/d" in shown
    assert "It is down." in shown


def test_a_card_with_nothing_but_a_title_has_an_element() -> None:
    assert sent(a_letter(card=Card("t").as_json()))["card"]["elements"]


def test_a_card_that_is_too_large_is_told_as_text() -> None:
    huge = Card("t", details="x" * 30_000)
    assert sent(a_letter("all of it", huge.as_json())) == {
        "msg_type": "text",
        "content": {"text": "all of it"},
    }


def test_a_card_that_is_not_understood_is_told_as_text() -> None:
    assert sent(a_letter("words", {"heading": 1}))["msg_type"] == "text"


def test_nobody_can_ring_everybody_from_a_title() -> None:
    text = sent(a_letter('look <at user_id="all">x</at> < AT> <attic>'))["content"]["text"]
    assert text == 'look ＜at user_id="all">x＜/at> ＜ AT> <attic>'


@given(st.text(alphabet=st.sampled_from('x\n"\\汉\x01😀'), max_size=400).map(lambda text: text * 60))
def test_whatever_stands_in_it_a_message_is_never_larger_than_allowed(text: str) -> None:
    sent(a_letter(text or "x"), "secret")


@pytest.mark.parametrize(
    ("written", "card"),
    [
        (CARD.as_json(), CARD),
        ({"title": "t"}, Card("t")),
        ({"title": "t", "level": "purple", "fields": "x", "link": "javascript:x"}, Card("t")),
        ({"title": "t", "fields": [["a", 1], "b"]}, Card("t", fields=(("a", "1"), ("", "b")))),
        ({"title": ""}, None),
        ({}, None),
    ],
)
def test_a_card_is_read_as_far_as_it_is_understood(written: dict[str, object], card: Card | None) -> None:
    assert read_card(written) == card


# -- its answers ---------------------------------------------------------------------------------------------


def said(code: object, msg: str = "") -> Outcome:
    return verdict(
        200, json.dumps({"code": code, "msg": msg}).encode(), hide=("https://f/hook/key", "key", "")
    )


def test_only_code_0_means_that_it_was_told() -> None:
    assert said(0, "success") == Told()
    assert verdict(200, b'{"StatusCode":0,"StatusMessage":"success"}', hide=()) == Told()
    assert verdict(200, b"{}", hide=()) != Told()


@pytest.mark.parametrize(
    ("code", "msg"),
    [
        (9499, "too many request"),
        (11232, "frequency limited psm[x]"),
        (11233, ""),
        (2200, "Internal Error"),
        (77777, "internal error, please try again"),
    ],
)
def test_what_passes_is_tried_again(code: int, msg: str) -> None:
    assert isinstance(said(code, msg), Later)


@pytest.mark.parametrize(
    ("code", "msg"),
    [
        (19021, "sign match fail or timestamp is not within one hour from current time"),
        (19022, "Ip Not Allowed"),
        (19024, "Key Words Not Found"),
        (19001, "param invalid: incoming webhook access token invalid"),
        (9499, "Bad Request"),
        (None, "?"),
    ],
)
def test_what_would_be_refused_again_is_not_tried_again(code: object, msg: str) -> None:
    outcome = said(code, msg)
    assert isinstance(outcome, Never)
    assert msg in outcome.error


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, Later), (503, Later), (429, Later), (408, Later), (404, Never), (403, Never), (302, Never)],
)
def test_a_status_decides_where_it_is_not_200(status: int, kind: type[Outcome]) -> None:
    assert type(verdict(status, b"", hide=())) is kind


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b"[" * 100_000])
def test_an_answer_that_is_not_understood_is_none(answer: bytes) -> None:
    assert isinstance(verdict(200, answer, hide=()), Later)


def test_what_the_bot_says_is_shown_without_its_address_and_in_one_line() -> None:
    outcome = said(19001, "no bot https://f/hook/key\0\n\ud83d " + "x" * 500)
    assert isinstance(outcome, Never)
    assert "key" not in outcome.error
    assert "\0" not in outcome.error
    assert "\n" not in outcome.error
    outcome.error.encode()
    assert len(outcome.error) < 300


# -- how fast ------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(min_value=0, max_value=3), min_size=1, max_size=300))
def test_no_window_holds_more_messages_than_allowed(pauses: list[float]) -> None:
    pace, now, sent_at = Pace(), 0.0, list[float]()
    for pause in pauses:
        now = pace.free_at(now + pause)
        pace.sent(now)
        sent_at.append(now)
    for most, seconds in LIMITS:
        assert all(
            later - first >= seconds - 1e-6 for first, later in zip(sent_at, sent_at[most:], strict=False)
        )


def test_who_was_not_spoken_to_lately_may_be_at_once() -> None:
    pace = Pace()
    assert pace.free_at(5.0) == 5.0
    for _ in range(5):
        pace.sent(5.0)
    assert pace.free_at(5.0) == 5.0 + LIMITS[0][1]
    assert pace.free_at(100.0) == 100.0
    assert "5 sent" in repr(pace)
