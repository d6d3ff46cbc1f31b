"""How long something lasts, in words, and as people write it down."""

import pytest

from scheduler.core.durations import in_words, parse_duration

DAY = 86_400.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0.9, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (2 * DAY - 1, "47 h"),
        (2 * DAY, "2 d"),
    ],
)
def test_how_long_something_lasts_is_told_in_one_unit(seconds: float, text: str) -> None:
    assert in_words(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), (" 30m ", 1800), ("2 h", 7200), ("1.5d", 1.5 * DAY), ("0s", 0)]
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "h", "-1h", "1e3s", "2w", "1h30m", "٣h", "1.s", "9999999999s", "2H"]
)
def test_anything_else_is_none(text: str) -> None:
    assert parse_duration(text) is None
