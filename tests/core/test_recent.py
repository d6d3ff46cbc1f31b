"""Counts of the last N seconds."""

import pytest

from proxy.core.recent import Recent


@pytest.mark.parametrize("start_at", [-1000.0, -30.0, 0.0, 0.5, 1e6])
def test_it_counts_the_span_before_now_whatever_the_clock_began_with(start_at: float) -> None:
    recent = Recent(60)
    for second in range(100):
        recent.add(start_at + second)
    assert recent.count(start_at + 99) == 60
    assert recent.count(start_at + 129.5) == 30
    assert recent.count(start_at + 160) == 0


@pytest.mark.parametrize("seconds", [2.3, 61, 601])
def test_it_is_right_to_a_sixtieth_of_its_span(seconds: float) -> None:
    recent = Recent(seconds)
    for n in range(1000):
        recent.add(n * seconds / 500)
    assert 490 <= recent.count(999 * seconds / 500) <= 500


def test_it_keeps_no_more_however_much_is_added_and_never_counted() -> None:
    recent = Recent(60)
    for n in range(100_000):
        recent.add(n * 0.25)
    assert len(recent._steps) <= 61
