"""What the scheduler tells of itself: once when it begins, once when it is over."""

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.alarms import (
    AWAY_SECONDS,
    FLOOR_SECONDS,
    NO_PROGRESS_SECONDS,
    OVER_SECONDS,
    Episode,
    Facts,
    SourceFact,
    Work,
    resumed,
    watch,
    work,
)
from scheduler.core.capacity import Blocked, Capacity
from scheduler.core.records import Notice
from scheduler.core.snapshot import AgentRecord, BoardSnapshot, Dependency, Waiting
from scheduler.core.states import Status
from tests.core.scheduler.boards import NOW, a_task

WELL = Capacity(known=True, effective_rpm=40, spare_rpm=20, retreat_state="normal")
AT_FLOOR = Capacity(known=True, effective_rpm=5, spare_rpm=0, retreat_state="retreat")
BLOCKED = Capacity(known=True, blocked=Blocked("key_rejected", None))
AWAY = Capacity.unknown("the sidecar cannot be reached")


class Watch:
    """Looks that follow each other, and everything they told."""

    def __init__(self, episodes: Mapping[str, Episode] | None = None, *, since: float = NOW - 1e6) -> None:
        self.episodes: Mapping[str, Episode] = episodes or {}
        self.now, self.since = NOW, since
        self.told: list[Notice] = []

    def look(self, seconds: float = 0.0, **facts: Any) -> list[str]:
        """The texts of what is new, `seconds` later."""
        self.now += seconds
        watched = watch(Facts(**facts), self.episodes, self.now, watching_since=self.since)
        self.episodes = watched.episodes
        self.told += watched.notices
        return [notice.text for notice in watched.notices]


def test_all_is_well_is_no_news() -> None:
    well = Watch()
    for _ in range(3):
        assert not well.look(
            30,
            capacity=WELL,
            gateway_up=True,
            sources=(SourceFact("multica", 2, "slow"),),
            work=Work(0, NOW),
            disk_free=0.5,
        )
    assert not well.episodes


def test_a_sidecar_that_is_away_is_told_once_and_so_is_its_return() -> None:
    each = Watch()
    assert not each.look(capacity=AWAY), "a restart is no news"
    assert each.look(AWAY_SECONDS, capacity=AWAY) == ["The sidecar is away: the sidecar cannot be reached."]
    assert not each.look(3600, capacity=AWAY)
    assert not each.look(30, capacity=WELL)
    assert each.look(OVER_SECONDS, capacity=WELL) == ["The sidecar answers again, after 60 min."]
    assert not each.episodes
    begins, over = each.told
    assert begins.cause == f"watch:sidecar:{NOW:.0f}:begins"
    assert over.cause == f"watch:sidecar:{NOW:.0f}:over"
    assert (begins.to, begins.urgent, over.urgent) == ("critical", True, True)


@pytest.mark.parametrize(
    ("of", "missed", "there"),
    [
        ("capacity", AWAY, WELL),
        ("gateway", False, True),
    ],
)
def test_one_missed_answer_is_no_news_however_often_it_is_read(of: str, missed: Any, there: Any) -> None:
    each = Watch()
    what = "gateway_up" if of == "gateway" else of

    def look(seconds: float, state: Any, seen_at: float) -> list[str]:
        return each.look(seconds, **{what: state, f"{of}_at": seen_at})

    for seconds in (0, 30, 30):
        assert not look(seconds, missed, NOW)
    assert not look(1, there, NOW + 60)
    look(0, missed, NOW + 61)
    assert look(30, missed, NOW + 61 + AWAY_SECONDS), "it was missed twice"
    for _ in range(3):
        assert not look(30, there, NOW + 120), "nor is one answer its return"
    assert look(30, there, NOW + 120 + OVER_SECONDS)


def test_what_was_gone_before_it_was_told_is_not_told() -> None:
    each = Watch()
    each.look(gateway_up=False)
    assert not each.look(20, gateway_up=True)
    assert not each.look(3600, gateway_up=False)


def test_what_comes_and_goes_all_the_time_is_one_episode() -> None:
    each = Watch()
    each.look(gateway_up=False)
    for _ in range(10):
        each.look(30, gateway_up=False)
        each.look(10, gateway_up=True)
    assert len(each.told) == 1


def test_the_next_episode_is_told_again() -> None:
    each = Watch()
    for _ in range(2):
        assert each.look(30, capacity=BLOCKED) == [
            "The model API is blocked: key_rejected. Nothing is started."
        ]
        each.look(30, capacity=WELL)
        assert each.look(30, capacity=WELL) == ["The model API is no longer blocked, after 30 s."]
    assert len({notice.cause for notice in each.told}) == 4


def test_what_nobody_knows_ends_nothing() -> None:
    each = Watch()
    each.look(capacity=BLOCKED, gateway_up=False, disk_free=0.05)
    each.look(60, gateway_up=False)
    before = dict(each.episodes)
    each.look(3600)
    each.look(3600, capacity=AWAY)
    assert {kind: each.episodes[kind] for kind in before} == before


def test_the_lowest_pace_is_told_after_ten_minutes_and_wakes_nobody() -> None:
    each = Watch()
    each.look(capacity=AT_FLOOR)
    assert not each.look(FLOOR_SECONDS - 1, capacity=AT_FLOOR)
    assert each.look(1, capacity=AT_FLOOR) == [
        "The model API throttles: 5 requests a minute, the lowest pace."
    ]
    each.look(60, capacity=WELL)
    assert each.look(60, capacity=WELL) == ["The sidecar is faster than its lowest pace again, after 11 min."]
    assert [notice.urgent for notice in each.told] == [False, False]


@pytest.mark.parametrize(
    "capacity",
    [
        Capacity(known=True, effective_rpm=7, retreat_state="recover"),
        Capacity(known=True, effective_rpm=5.1, retreat_state="retreat"),
        Capacity(known=True, effective_rpm=4, retreat_state="normal"),
    ],
)
def test_a_slow_pace_is_not_the_lowest(capacity: Capacity) -> None:
    each = Watch()
    each.look(capacity=capacity)
    assert not each.look(FLOOR_SECONDS, capacity=capacity)


def test_a_sidecar_that_says_where_its_floor_is_knows_best() -> None:
    for capacity in (replace(WELL, at_floor=True), replace(AT_FLOOR, effective_rpm=12, at_floor=True)):
        each = Watch()
        each.look(capacity=capacity)
        assert each.look(FLOOR_SECONDS, capacity=capacity)
    each = Watch()
    each.look(capacity=replace(AT_FLOOR, at_floor=False))
    assert not each.look(FLOOR_SECONDS, capacity=replace(AT_FLOOR, at_floor=False))


def test_a_gateway_that_is_down_is_told_with_the_reason() -> None:
    each = Watch()
    each.look(gateway_up=False, gateway_error="(ECONNREFUSED).")
    assert each.look(30, gateway_up=False, gateway_error="(ECONNREFUSED).") == [
        "OpenClaw's gateway does not answer: (ECONNREFUSED). Nothing is started."
    ]


def test_a_source_is_told_when_it_has_failed_three_times_in_a_row() -> None:
    each = Watch()

    def look(failures: int) -> list[str]:
        return each.look(
            30, sources=(SourceFact("multica", failures, "not logged in"), SourceFact("todo", 0))
        )

    assert not look(2)
    assert look(3) == ["The source multica failed 3 times in a row: not logged in."]
    assert not look(4)
    look(0)
    assert look(0) == ["The source multica answers again, after 60 s."]
    assert each.told[0].cause.startswith("watch:source:multica:")
    assert not any(notice.urgent for notice in each.told)


def test_no_progress_for_an_hour_is_told_while_work_waits() -> None:
    each, stuck = Watch(), Work(3, NOW - NO_PROGRESS_SECONDS + 10)
    assert not each.look(work=stuck)
    assert each.look(10, work=stuck) == ["3 tasks wait, and nothing has made progress for an hour."]
    each.look(60, work=Work(3, each.now))
    assert each.look(60, work=Work(0, each.now)) == ["Tasks make progress again, after 61 min."]
    assert Watch().look(work=Work(1, NOW - 7200)) == [
        "1 task waits, and nothing has made progress for an hour."
    ]


def test_an_hour_in_which_nobody_looked_is_not_one_without_progress() -> None:
    each = Watch(since=NOW)
    assert not each.look(work=Work(1, NOW - 86_400))
    assert each.look(NO_PROGRESS_SECONDS, work=Work(1, NOW - 86_400))


def test_a_disk_that_is_nearly_full_is_told_and_does_not_flap() -> None:
    each = Watch()
    assert not each.look(disk_free=0.10)
    assert each.look(30, disk_free=0.094) == ["Only 9% of the disk is free. A full one stops all work."]
    for free in (0.101, 0.099, 0.105):
        assert not each.look(3600, disk_free=free)
    each.look(30, disk_free=0.12)
    assert each.look(30, disk_free=0.12) == ["There is room on the disk again, after 3 h."]


def test_a_restart_in_the_middle_of_an_episode_tells_nothing_twice() -> None:
    before = Watch()
    before.look(capacity=BLOCKED, gateway_up=False)
    before.look(30, capacity=BLOCKED, gateway_up=False)
    before.look(30, capacity=WELL, gateway_up=False)
    before.look(30, capacity=WELL, gateway_up=False)
    causes = ["T-0001.1:failed:coo", *(notice.cause for notice in before.told), "watch:nonsense"]
    after = Watch(resumed(causes), since=before.now)
    assert set(after.episodes) == {"gateway"}
    assert not after.look(30, capacity=WELL, gateway_up=False)
    after.look(30, gateway_up=True)
    assert after.look(30, gateway_up=True)
    assert after.told[0].cause == f"watch:gateway:{NOW:.0f}:over"


_FACTS = st.fixed_dictionaries(
    {
        "capacity": st.sampled_from([None, WELL, AWAY, BLOCKED, AT_FLOOR]),
        "gateway_up": st.sampled_from([None, True, False]),
        "sources": st.sampled_from([(), (SourceFact("todo", 0),), (SourceFact("todo", 3, "x"),)]),
        "disk_free": st.sampled_from([None, 0.05, 0.105, 0.5]),
    }
)


@given(st.lists(st.tuples(_FACTS, st.floats(min_value=1, max_value=2000), st.booleans()), max_size=40))
def test_each_episode_is_told_once_and_ends_once_over_any_restarts(
    looks: list[tuple[dict[str, Any], float, bool]],
) -> None:
    each = Watch()
    for facts, seconds, restarts in looks:
        each.look(seconds, **facts)
        if restarts:
            each.episodes = resumed(notice.cause for notice in each.told)
    causes = [notice.cause for notice in each.told]
    assert len(causes) == len(set(causes))
    for cause in causes:
        if cause.endswith(":over"):
            assert causes.index(cause.removesuffix("over") + "begins") < causes.index(cause)


# -- what could be started -----------------------------------------------------------------------------------


def waiting(number: int = 1, **fields: Any) -> Waiting:
    given: dict[str, Any] = {
        "status": Status.PENDING,
        "priority": 2,
        "assignee": "coo",
        "pending_since": NOW - 100,
        "not_before": None,
        "has_dependencies": False,
        "dependencies_met": True,
        "dependency_notified": False,
        "waiting_because": None,
        "expected_start_at": None,
    }
    return Waiting(number, **(given | fields))


def test_work_is_what_nothing_of_its_own_keeps_waiting() -> None:
    board = BoardSnapshot(waiting=(waiting(1), waiting(2, pending_since=NOW - 50)))
    assert work(board, None, NOW) == Work(2, NOW - 100)


@pytest.mark.parametrize(
    "fields",
    [
        {"assignee": None},
        {"not_before": NOW + 1},
        {"status": Status.BLOCKED},
        {"number": 7},
        {"assignee": "lawyer"},
    ],
)
def test_what_has_a_reason_to_wait_is_no_work(fields: dict[str, Any]) -> None:
    board = BoardSnapshot(
        waiting=(waiting(**fields),),
        unmet={7: (Dependency(3, Status.WORKING, "coo"),)},
        agents={
            "lawyer": AgentRecord("lawyer", paused_until=inf),
            "coo": AgentRecord("coo", paused_until=NOW - 1),
        },
    )
    assert work(board, None, NOW) == Work(0, NOW)


def test_while_all_are_paused_there_is_no_work() -> None:
    board = BoardSnapshot(waiting=(waiting(),), agents={"*": AgentRecord("*", paused_until=NOW + 1)})
    assert not work(board, None, NOW).waiting


def test_work_waits_since_it_could_start_or_anything_last_moved() -> None:
    board = BoardSnapshot(waiting=(waiting(not_before=NOW - 60),))
    assert work(board, NOW - 200, NOW).since == NOW - 60
    assert work(board, NOW - 10, NOW).since == NOW - 10
    moving = BoardSnapshot(waiting=(waiting(),), held=(a_task(progress_at=NOW - 5), a_task(progress_at=None)))
    assert work(moving, NOW - 10, NOW).since == NOW - 5
