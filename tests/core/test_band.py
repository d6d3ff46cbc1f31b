"""The four bands."""

import pytest

from proxy.core.band import Band


@pytest.mark.parametrize(
    ("word", "band"),
    [("urgent", Band.URGENT), (" HIGH ", Band.HIGH), ("Low", Band.LOW), ("normal", Band.NORMAL)],
)
def test_a_band_is_asked_for_in_any_case(word: str, band: Band) -> None:
    assert Band.parse(word) is band


@pytest.mark.parametrize("word", ["", "0", "asap", "urgent!"])
def test_an_unknown_word_is_normal(word: str) -> None:
    assert Band.parse(word) is Band.NORMAL


@pytest.mark.parametrize("band", Band)
def test_the_word_of_a_band_asks_for_it(band: Band) -> None:
    assert Band.parse(band.label) is band
