"""What an upstream's answer means, and whether it is worth another attempt."""

import pytest

from proxy.core.classify import Meaning, backoff_seconds, classify, quiet_seconds, worth_another

THROTTLED = {Meaning.THROTTLED, Meaning.WORKERS_FULL}
TRIED_AGAIN = THROTTLED | {Meaning.TROUBLE, Meaning.UNREACHABLE, Meaning.RESET}


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (200, Meaning.ANSWERED),
        (404, Meaning.ANSWERED),
        (307, Meaning.REDIRECT),
        (401, Meaning.KEY_REJECTED),
        (402, Meaning.NO_CREDITS),
        (429, Meaning.THROTTLED),
        (503, Meaning.TROUBLE),
    ],
)
def test_a_status_means_what_http_says(status: int, meaning: Meaning) -> None:
    assert classify(status, b"{}") is meaning


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, b"Function id 'x': DEGRADED function cannot be invoked"),
        (404, b"Function 'x': Not found for account 'y'"),
        (410, b"The model 'm' has reached its end of life on 2025-06-30T00:00:00Z"),
    ],
)
def test_a_model_that_cannot_be_had_is_known_by_status_and_words(status: int, words: bytes) -> None:
    assert classify(status, b'{"detail":"' + words + b'"}') is Meaning.UNAVAILABLE
    assert classify(status, b'{"detail":"something else"}') is Meaning.ANSWERED
    assert classify(422, words) is Meaning.ANSWERED


def test_a_503_that_speaks_of_workers_is_about_that_models_workers() -> None:
    assert classify(503, b"... Worker local total request limit reached ...") is Meaning.WORKERS_FULL


@pytest.mark.parametrize("meaning", Meaning)
def test_what_may_pass_is_tried_as_often_as_allowed_and_silence_once(meaning: Meaning) -> None:
    tries = [worth_another(meaning, earlier, allowed=3) for earlier in range(4)]
    if meaning in TRIED_AGAIN:
        assert tries == [True, True, True, False]
    else:
        assert tries == [meaning is Meaning.SILENT, False, False, False]
    assert not worth_another(meaning, 0, allowed=0)


def test_waits_double_up_to_half_a_minute_spread_over_their_upper_half() -> None:
    assert [backoff_seconds(Meaning.TROUBLE, earlier, 0.0) for earlier in range(7)] == [
        0.5, 1, 2, 4, 8, 15, 15,
    ]  # fmt: skip
    assert backoff_seconds(Meaning.RESET, 0, 0.999) == pytest.approx(0.9995)
    assert {backoff_seconds(meaning, 5, 0.5) for meaning in THROTTLED} == {0.0}


@pytest.mark.parametrize(("asked", "kept"), [(-5, 1), (0.2, 1), (7, 7), (60, 60), (1e9, 60)])
def test_a_retry_after_is_believed_between_a_second_and_a_minute(asked: float, kept: float) -> None:
    assert quiet_seconds(asked) == kept
