"""Who is to be told of what."""

from scheduler.core.notices import CREATOR, notices
from tests.core.scheduler.boards import NOW, a_task


def test_each_target_is_told_once_and_the_creator_by_name() -> None:
    coo, creator = notices(a_task(epoch=3), ("coo", CREATOR), "turns", "80 of 100", NOW)
    assert (coo.to, creator.to) == ("coo", "creator:ann")
    assert coo.text == "T-0001 Write the report: 80 of 100"
    assert coo.cause != creator.cause


def test_the_same_cause_is_the_same_for_one_claim_and_another_for_the_next() -> None:
    def cause(epoch: int, number: int = 1, what: str = "turns", at: float = NOW) -> str:
        (notice,) = notices(a_task(epoch=epoch, number=number), ("coo",), what, "text", at)
        return notice.cause

    assert cause(1) == cause(1, at=NOW + 60)
    assert len({cause(1), cause(2), cause(1, number=2), cause(1, what="stopped")}) == 4


def test_nobody_to_tell_is_no_notice() -> None:
    assert notices(a_task(), (), "turns", "80 of 100", NOW) == ()
