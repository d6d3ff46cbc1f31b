"""What is scripted, and what a request asks for, as plain calls."""

import random
import statistics

import msgspec
import pytest

from proxy.simulator import Config, Fault, Kind, answers, bodies, latency
from proxy.simulator.faults import Faults, parse_name
from proxy.simulator.spoil import SPOILERS

CHAT = bodies.CHAT


@pytest.mark.parametrize("kind", Kind)
def test_every_fault_can_be_asked_for_by_name_and_can_be_played(kind: Kind) -> None:
    assert parse_name(f"fault/{kind}").kind is kind
    assert parse_name(f"fault/{kind}").count is None
    assert kind in SPOILERS


@pytest.mark.parametrize(
    ("name", "kind", "count", "value"),
    [
        ("fault/429-2", "429", 2, None),
        ("fault/503-workers-3", "503-workers", 3, None),
        ("fault/reset-in-stream-1", "reset-in-stream", 1, None),
        ("fault/retry-after-7", "retry-after", None, "7"),
        ("fault/retry-after--1", "retry-after", None, "-1"),
        (
            "fault/retry-after-Wed, 21 Oct 2026 07:28:00 GMT",
            "retry-after",
            None,
            "Wed, 21 Oct 2026 07:28:00 GMT",
        ),
    ],
)
def test_a_name_says_kind_count_and_value(name: str, kind: str, count: int | None, value: str | None) -> None:
    fault = parse_name(name)
    assert (fault.kind, fault.count, fault.value) == (kind, count, value)


@pytest.mark.parametrize("name", ["fault/", "fault/nonsense", "fault/429-0", "fault/retry-after-a\r\nb: c"])
def test_a_name_that_means_nothing_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=r"knows no fault|not the value of a header"):
        parse_name(name)


def _kinds(faults: Faults, *models: str) -> list[str | None]:
    taken = [faults.take(CHAT, model) for model in models]
    return [fault.kind if fault else None for fault in taken]


def test_a_name_with_a_count_fails_the_first_requests_for_it_and_then_serves() -> None:
    assert _kinds(Faults(), *["fault/429-2"] * 4) == ["429", "429", None, None]


def test_scripts_are_played_in_their_order_each_until_its_count_is_used_up() -> None:
    faults = Faults()
    faults.script(Fault(kind=Kind.TOO_MANY, count=1))
    faults.script(Fault(kind=Kind.ERROR_500, count=2))
    assert _kinds(faults, *"abcd") == ["429", "500", "500", None]


def test_a_script_may_wait_for_its_model_and_let_some_pass() -> None:
    faults = Faults()
    faults.script(Fault(kind=Kind.RESET, model="a", after=1))
    assert _kinds(faults, *"aabba") == [None, "reset", None, None, "reset"]


def test_a_script_with_a_path_keeps_to_it() -> None:
    faults = Faults()
    faults.script(Fault(kind=Kind.ERROR_500, path="/v1/models"))
    assert faults.take(CHAT, "m") is None
    assert faults.take("/v1/models", "", counted=False) is not None


def test_a_body_is_read_slowly_if_it_names_the_fault_or_a_scripted_model() -> None:
    faults = Faults()
    assert faults.reads_slowly(CHAT, b'{"model":"fault/slow-read"')
    assert not faults.reads_slowly(CHAT, b'{"model":"a/b"')
    faults.script(Fault(kind=Kind.SLOW_READ, model="a/b"))
    assert faults.reads_slowly(CHAT, b'{"model":"a/b"')
    assert not faults.reads_slowly(CHAT, b'{"model":"c/d"')


@pytest.mark.parametrize(
    "spec", ["", "fast", "-1", "3-2", "1-2-3", "nan", "inf", "lognormal:6", "lognormal:0,1"]
)
def test_a_latency_that_means_nothing_is_an_error(spec: str) -> None:
    with pytest.raises(ValueError, match="not a latency"):
        Config(latency=spec)


def test_latencies_are_what_their_spec_says_and_a_seed_repeats_them() -> None:
    lots = random.Random(7)
    assert latency.parse(1e-5).draw(lots) == 1e-5
    assert latency.parse("0.25").draw(lots) == 0.25
    assert all(4 <= latency.parse("4-12").draw(lots) <= 12 for _ in range(100))
    tail = [latency.parse("lognormal:6,0.5").draw(random.Random(seed)) for seed in range(500)]
    assert 5 < statistics.median(tail) < 7
    assert tail[3] == latency.parse("lognormal:6,0.5").draw(random.Random(3))


def test_a_change_of_settings_is_checked_as_a_whole() -> None:
    assert Config().changed_by(b'{"rpm":5,"latency":"1-2"}') == Config(rpm=5, latency="1-2")
    for wrong in (b'{"rpm":-1}', b'{"rmp":5}', b'{"latency":"soon"}', b"[]"):
        with pytest.raises(msgspec.ValidationError):
            Config().changed_by(wrong)


def _body(**fields: object) -> bodies.Body:
    body = bodies.read(CHAT, msgspec.json.encode({"model": "m", **fields}))
    assert isinstance(body, bodies.Body)
    return body


def test_the_reply_is_what_follows_say_in_the_last_message_of_the_user() -> None:
    parts = [{"type": "text", "text": "please say: two\nlines"}]
    body = _body(messages=[{"role": "user", "content": "say: old"}, {"role": "user", "content": parts}])
    assert body.reply(12) == "two\nlines"
    assert _body(messages=[{"role": "user", "content": "hi"}]).reply(12) == "This is the simulated upstream."


def test_a_reply_fills_as_many_chunks_as_are_wanted() -> None:
    text = _body(messages=[{"role": "user", "content": "hi"}]).reply(500)
    assert len(answers.pieces(text, 500)) == 500
    assert "".join(answers.pieces(text, 500)) == text


def test_prompt_tokens_are_a_quarter_of_the_characters() -> None:
    body = _body(messages=[{"role": "system", "content": "12345678"}, {"role": "user", "content": "1"}])
    assert body.prompt_tokens == 3


def test_a_lone_surrogate_in_a_message_is_served_and_one_in_the_name_of_a_model_is_not() -> None:
    cut_emoji = rb'{"model":"m","messages":[{"role":"user","content":"say: \ud83d"}]}'
    body = bodies.read(CHAT, cut_emoji)
    assert isinstance(body, bodies.Body)
    assert body.reply(1) == "?"
    assert isinstance(bodies.read(CHAT, cut_emoji.replace(b'"m"', rb'"\ud83d"')), bodies.Problem)
