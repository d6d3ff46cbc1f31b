"""Models that cannot be had."""

from proxy.core.evidence import MOST_MODELS
from proxy.core.unavailable import Unavailable


def test_a_refusal_is_known_for_a_minute_and_to_its_account_alone() -> None:
    unavailable = Unavailable()
    unavailable.remember("mine", "m", "gone", 100)
    known = unavailable.known("mine", "m", 159.9)
    assert known
    assert (known.answer, known.until) == ("gone", 160)
    assert unavailable.known("mine", "m", 160) is None
    assert unavailable.known("theirs", "m", 100) is None
    assert unavailable.known("mine", "another", 100) is None


def test_a_refusal_that_comes_again_is_remembered_anew_with_its_history() -> None:
    unavailable = Unavailable()
    unavailable.remember("", "m", "gone", 0)
    unavailable.remember("", "m", "still gone", 70)
    ((model, refused),) = unavailable.models(71)
    assert (model, refused.answer, refused.evidence.count) == ("m", "still gone", 2)
    assert (refused.evidence.first_at, refused.evidence.last_at) == (0, 70)
    assert list(unavailable.models(130)) == []


def test_a_model_that_is_served_is_forgotten() -> None:
    unavailable = Unavailable()
    unavailable.remember("", "m", "gone", 0)
    unavailable.forget("", "m")
    unavailable.forget("", "m")
    assert unavailable.known("", "m", 0) is None


def test_the_newest_are_remembered() -> None:
    unavailable = Unavailable()
    for number in range(2 * MOST_MODELS):
        unavailable.remember("", f"m{number}", "gone", 0)
    assert len(list(unavailable.models(0))) == MOST_MODELS
    assert unavailable.known("", "m0", 0) is None
