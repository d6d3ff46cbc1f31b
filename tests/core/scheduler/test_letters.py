"""What a target is told next, and where a message goes."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from scheduler.core.notices import Unsent
from scheduler.core.records import Notice
from scheduler.notifications.letters import MOST_ASIDE, STEPS_ASIDE_AFTER, Letter, cut, next_letter
from scheduler.notifications.retrying import LEAST_TRIES, PAUSES_SECONDS, hopeless, pause_seconds
from scheduler.notifications.routing import lanes, target_of
from scheduler.roster import FeishuTarget, LogTarget, OpenClawTarget, Roster, Target

NOW = 1_800_000_000.0


def a_roster(**notify: Target) -> Roster:
    return Roster({}, {}, notify, {}, "UTC", "run_once", None, None, ())


def unsent(
    number: int, text: str = "", *, at: float = NOW, urgent: bool = False, tries: int = 0, **more: object
) -> Unsent:
    words = text or f"news {number}"
    notice = Notice(
        str(more.get("to", "coo")),
        str(more.get("cause", number)),
        words,
        at,
        urgent,
        more.get("card"),  # type: ignore[arg-type]  # a mapping
    )
    return Unsent(number, notice, tries, more.get("next_try_at"))  # type: ignore[arg-type]  # a time


def at_once(at: float) -> float:
    return at


def held(until: float) -> Callable[[float], float]:
    """What came before `until` waits for it."""
    return lambda at: max(at, until)


def letter(*waiting: Unsent, held_until: Callable[[float], float] = at_once, most: int = 1000) -> Letter:
    found = next_letter(waiting, NOW, held_until=held_until, most_bytes=most)
    assert found is not None
    return found


def nothing(*waiting: Unsent, held_until: Callable[[float], float] = at_once) -> bool:
    return next_letter(waiting, NOW, held_until=held_until, most_bytes=1000) is None


def test_the_oldest_goes_first() -> None:
    assert letter(unsent(2), unsent(1)).text == "news 1"


def test_urgent_news_goes_before_everything_else() -> None:
    assert letter(unsent(1), unsent(3, urgent=True), unsent(2, urgent=True)).numbers == (2,)


def test_nothing_overtakes_what_has_to_be_tried_again() -> None:
    assert nothing(unsent(1, tries=1, next_try_at=NOW + 1), unsent(2))
    assert letter(unsent(1, tries=1, next_try_at=NOW), unsent(2)).numbers == (1,)


def stuck(number: int, until: float = 1.0, **more: Any) -> Unsent:
    return unsent(number, tries=STEPS_ASIDE_AFTER, next_try_at=NOW + until, **more)


def test_one_that_was_not_taken_several_times_steps_aside_until_its_next_try() -> None:
    assert letter(stuck(1), unsent(2), unsent(3)).numbers == (2,)
    assert letter(stuck(1, until=0), unsent(2)).numbers == (1,)
    assert nothing(stuck(1))


def test_behind_one_that_stepped_aside_the_order_holds() -> None:
    assert nothing(stuck(1), unsent(2, tries=1, next_try_at=NOW + 1), unsent(3))


def test_where_three_letters_stepped_aside_it_is_the_target_that_is_away() -> None:
    aside = [stuck(number, until=number) for number in range(1, MOST_ASIDE + 1)]
    assert letter(*aside[1:], unsent(9)).numbers == (9,)
    assert nothing(*aside, unsent(9))
    assert letter(*aside, unsent(9, urgent=True)).numbers == (9,)


def test_those_that_were_put_off_together_are_one_letter_that_stepped_aside() -> None:
    assert letter(*(stuck(number) for number in range(1, 9)), unsent(9)).numbers == (9,)


def test_what_stepped_aside_is_in_no_letter_of_others() -> None:
    told = letter(stuck(1, at=NOW - 9), unsent(2, at=NOW - 9), unsent(3, at=NOW - 9), held_until=held(NOW))
    assert told.numbers == (2, 3)


def test_urgent_news_does_not_wait_for_other_news_that_has_to_be_tried_again() -> None:
    assert letter(unsent(1, tries=1, next_try_at=NOW + 1), unsent(2, urgent=True)).numbers == (2,)


def test_quiet_hours_hold_back_what_is_not_urgent() -> None:
    assert nothing(unsent(1), held_until=held(NOW + 1))
    assert letter(unsent(1), unsent(2, urgent=True), held_until=held(NOW + 1)).numbers == (2,)


def test_what_was_held_back_goes_as_one_letter_in_its_order() -> None:
    waiting = [unsent(number, at=NOW - 100) for number in (2, 1, 3)]
    told = letter(*waiting, unsent(4, at=NOW), held_until=held(NOW))
    assert told.numbers == (1, 2, 3)
    assert told.text == "3 messages from the quiet hours:\n\nnews 1\n\nnews 2\n\nnews 3"
    assert letter(unsent(4, at=NOW), held_until=held(NOW)).text == "news 4"


def test_one_that_was_held_back_alone_is_told_as_it_is() -> None:
    told = letter(unsent(1, at=NOW - 100, card={"title": "t"}), held_until=held(NOW))
    assert (told.text, told.card) == ("news 1", {"title": "t"})


def test_what_does_not_fit_into_one_letter_is_the_next() -> None:
    waiting = [unsent(number, "x" * 300, at=NOW - number, cause=str(number)) for number in (1, 2, 3, 4, 5)]
    waiting = [unsent(each.number, f"{each.number}" * 300, at=each.notice.at) for each in waiting]
    first = letter(*waiting, held_until=held(NOW))
    assert first.numbers == (1, 2, 3)
    assert len(first.text.encode()) <= 1000
    assert letter(*waiting[3:], held_until=held(NOW)).numbers == (4, 5)


def test_one_that_is_larger_than_a_letter_is_cut_and_says_so() -> None:
    told = letter(unsent(1, "汉" * 1000, at=NOW - 1), unsent(2), held_until=held(NOW))
    assert told.numbers == (1,)
    assert len(told.text.encode()) <= 1000
    assert told.text.endswith("… (cut: too long for one message)")


def test_the_same_news_by_two_names_is_told_once() -> None:
    told = letter(unsent(1, "same", to="coo"), unsent(2, "other"), unsent(3, "same", to="creator:coo"))
    assert (told.numbers, told.to) == ((1, 3), ("coo", "creator:coo"))
    both = letter(
        unsent(1, "same", to="coo", at=NOW - 1), unsent(2, "same", to="ann", at=NOW - 1), held_until=held(NOW)
    )
    assert (both.numbers, both.text) == ((1, 2), "same")


def test_the_same_words_at_another_time_are_other_news() -> None:
    assert letter(unsent(1, "same"), unsent(2, "same", at=NOW - 1)).numbers == (1,)


def test_news_of_a_task_says_where_the_task_is_to_be_seen() -> None:
    def shown(cause: str) -> str:
        waiting = [unsent(1, "failed", cause=cause)]
        told = next_letter(
            waiting, NOW, held_until=at_once, most_bytes=1000, board_url="https://board.example"
        )
        assert told is not None
        return told.text

    assert shown("T-0042.3:failed:coo") == "failed\nhttps://board.example/#T-0042"
    assert shown("watch:sidecar:1:begins") == "failed"


def test_a_letter_is_as_urgent_as_its_news() -> None:
    assert letter(unsent(1, urgent=True)).urgent
    assert not letter(unsent(1)).urgent


@given(st.text(max_size=300), st.integers(min_value=60, max_value=400))
def test_a_cut_text_fits_and_is_whole_unicode(text: str, most: int) -> None:
    kept = cut(text, most)
    assert len(kept.encode("utf-8", "replace")) <= most
    if len(text.encode("utf-8", "replace")) <= most:
        assert kept == text


# -- where to ------------------------------------------------------------------------------------------------

FEISHU = FeishuTarget(SecretStr("https://feishu.example/hook/1"), SecretStr(""))
TELEGRAM = OpenClawTarget("telegram", "-100123")


def test_a_name_is_told_at_its_own_target_else_at_the_default_else_in_the_log() -> None:
    roster = a_roster(coo=TELEGRAM, default=FEISHU)
    assert target_of(roster, "coo") == TELEGRAM
    assert target_of(roster, "creator:coo") == TELEGRAM
    assert target_of(roster, "creator:ann") == FEISHU
    assert target_of(roster, "critical") == FEISHU
    assert target_of(a_roster(coo=TELEGRAM), "critical") == LogTarget()


def test_names_that_share_a_target_share_a_lane() -> None:
    same = FeishuTarget(SecretStr("https://feishu.example/hook/1"), SecretStr(""))
    found = lanes(
        a_roster(critical=FEISHU, warning=same, coo=TELEGRAM), ["critical", "warning", "coo", "ann"]
    )
    assert found == {
        FEISHU: {"critical", "warning"},
        TELEGRAM: {"coo"},
        LogTarget(): {"ann"},
    }


# -- again ---------------------------------------------------------------------------------------------------


def test_pauses_grow_to_a_quarter_of_an_hour() -> None:
    assert [pause_seconds(failures) for failures in range(1, 9)] == [*PAUSES_SECONDS, 900, 900]


def test_it_is_given_up_after_a_day_of_trying_and_not_before() -> None:
    day_old = NOW - 24 * 3600
    assert hopeless(unsent(1, at=day_old, tries=LEAST_TRIES - 1), NOW)
    assert not hopeless(unsent(1, at=day_old + 1, tries=100), NOW)
    assert not hopeless(unsent(1, at=0, tries=LEAST_TRIES - 2), NOW), "the machine slept"
