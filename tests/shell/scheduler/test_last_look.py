"""Time that nobody saw is told apart from the ordinary distance of two ticks."""

from pathlib import Path

import pytest

from scheduler.last_look import LastLook
from shared import clock

INTERVAL = 60.0


class Clocks:
    """Both, as a test sets them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.monotonic = 1_800_000_000.0, 1_000.0
        monkeypatch.setattr(clock, "wall", lambda: self.wall)
        monkeypatch.setattr(clock, "monotonic", lambda: self.monotonic)

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


@pytest.fixture
async def look(clocks: Clocks, tmp_path: Path) -> LastLook:
    made = LastLook(tmp_path / "last-tick", interval_seconds=INTERVAL)
    assert await made.unseen_seconds() == 0
    await made.note()
    return made


@pytest.mark.parametrize("late", [-1.0, 0.0, 0.001, 20.0])
async def test_ticks_that_come_about_when_they_should_leave_nothing_unseen(
    clocks: Clocks, look: LastLook, late: float
) -> None:
    """Or a claim that is held by hand, and looked at once a minute, would be excused each time."""
    clocks.pass_by(INTERVAL + late)
    assert await look.unseen_seconds() == 0


async def test_ticks_that_did_not_come_leave_all_of_it_unseen(clocks: Clocks, look: LastLook) -> None:
    clocks.pass_by(10 * INTERVAL)
    assert await look.unseen_seconds() == 10 * INTERVAL


async def test_a_look_that_went_wrong_saw_nothing(clocks: Clocks, look: LastLook) -> None:
    for _ in range(2):
        clocks.pass_by(INTERVAL)
        unseen = await look.unseen_seconds()
    assert unseen == 2 * INTERVAL


@pytest.mark.parametrize(("step", "unseen"), [(3600.0, 3600.0), (20.0, 0.0), (-3600.0, 0.0)])
async def test_a_clock_that_steps_is_time_that_nobody_saw(
    clocks: Clocks, look: LastLook, step: float, unseen: float
) -> None:
    clocks.pass_by(INTERVAL)
    clocks.wall += step
    assert await look.unseen_seconds() == unseen
