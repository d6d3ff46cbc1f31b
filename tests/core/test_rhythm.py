"""When a waiting stream is to hear from us."""

import pytest

from proxy.core.rhythm import Rhythm

NEVER = float("inf")


@pytest.mark.parametrize(
    ("keepalive_after", "patience", "rhythm"),
    [
        (240, NEVER, Rhythm(240, 15)),
        (240, 900, Rhythm(240, 15)),
        (240, 300, Rhythm(225, 15)),
        (240, 20, Rhythm(15, 20 / 3)),
        (10, 20, Rhythm(10, 20 / 3)),
        (0, NEVER, Rhythm(0, 15)),
        (240, 0, Rhythm(240, 15)),
        (240, 1e-9, Rhythm(1e-9 * 3 / 4, 1)),
    ],
)
def test_three_quarters_of_the_patience_then_a_third_each(
    keepalive_after: float, patience: float, rhythm: Rhythm
) -> None:
    assert Rhythm.of(keepalive_after, patience) == rhythm
