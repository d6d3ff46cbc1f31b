"""What the sidecar says, how much work that feeds, and how hungry an agent is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.capacity import (
    DEFAULT_RPM,
    LEAST_RPM,
    LONGEST_STEP_SECONDS,
    MOST_AGENTS,
    Appetite,
    Blocked,
    CallerActivity,
    Capacity,
    CapacityError,
    feeds,
    read_activities,
    read_capacity,
    waiting_agents,
    waiting_sessions,
)

# As the sidecar of this repository sends it.
ANSWER: dict[str, Any] = {
    "effective_rpm": 38.0,
    "spare_rpm": 12.5,
    "window_used": 26,
    "window_limit": 39,
    "queue_depth": 3,
    "expected_wait_seconds": {"urgent": 0.0, "high": 1.5, "normal": 4.0, "low": 9.25},
    "retreat_state": "normal",
    "quiet_until": None,
    "blocked": None,
    "models": {"m": {"blocked": None, "limit": None, "paused_until": None}},
    "lanes": [{"name": "nvidia", "effective_rpm": 38.0}],
}
ROW: dict[str, Any] = {
    "agent": "coo",
    "session": "3f0c:0",
    "queued": 1,
    "in_flight": 2,
    "oldest_wait_seconds": 7.25,
    "last_answer_at": "1970-01-01T00:01:00.000Z",
    "requests": 10,
    "throttled": 4,
    "prompt_tokens": 900,
    "completion_tokens": 80,
}


def read_time(text: str) -> float:
    """A calendar with two days in it."""
    if text not in TIMES:
        raise ValueError(text)
    return TIMES[text]


TIMES = {"1970-01-01T00:01:00.000Z": 60.0, "1970-01-02T00:00:00.000Z": 86400.0}


def capacity(**changes: object) -> Capacity:
    return read_capacity(json.dumps({**ANSWER, **changes}).encode(), read_time)


def activities(*rows: dict[str, object]) -> tuple[CallerActivity, ...]:
    return read_activities(json.dumps([{**ROW, **row} for row in rows]).encode(), read_time)


@pytest.mark.parametrize("said", [True, False, None])
def test_a_sidecar_may_say_whether_it_can_go_no_lower(said: bool | None) -> None:
    assert capacity(lanes=[{"at_floor": said}]).at_floor is said
    assert capacity(lanes=[{"at_floor": said}, {"at_floor": False}]).at_floor is False, "another can go lower"
    for older in ([], [{"name": "nvidia"}]):
        assert capacity(lanes=older).at_floor is None, "an older one does not"


def test_the_sidecars_answer_is_read() -> None:
    assert capacity() == Capacity(
        known=True,
        effective_rpm=38.0,
        spare_rpm=12.5,
        window_used=26,
        window_limit=39,
        queue_depth=3,
        expected_wait_seconds={"urgent": 0.0, "high": 1.5, "normal": 4.0, "low": 9.25},
        retreat_state="normal",
    )


def test_times_become_unix_seconds() -> None:
    told = capacity(
        quiet_until="1970-01-02T00:00:00.000Z",
        blocked={"reason": "key_rejected", "since": "1970-01-01T00:01:00.000Z"},
    )
    assert told.quiet_until == 86400.0
    assert told.blocked == Blocked("key_rejected", 60.0)


def test_what_a_newer_sidecar_adds_does_not_matter() -> None:
    assert capacity(mood="good", blocked={"reason": "upstream_down", "mood": 1}).blocked == Blocked(
        "upstream_down", None
    )


def test_the_rates_are_enough() -> None:
    told = read_capacity(b'{"effective_rpm": 40, "spare_rpm": 7}', read_time)
    assert told == Capacity(known=True, effective_rpm=40.0, spare_rpm=7.0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"{}",
        b'{"effective_rpm": 40}',
        b'{"effective_rpm": 40, "spare_rpm": NaN}',
        b'{"effective_rpm": 40, "spare_rpm": 1e999}',
        b'{"effective_rpm": 40, "spare_rpm": 1' + b"0" * 5000 + b"}",
        b'{"x": ' + b"[" * 100_000,
        b'{"effective_rpm": 40, "spare_rpm": 7, "retreat_state": "\xff"}',
    ],
)
def test_anything_else_is_no_answer(body: bytes) -> None:
    with pytest.raises(CapacityError):
        read_capacity(body, read_time)


@pytest.mark.parametrize(
    "change",
    [
        {"spare_rpm": "12"},
        {"spare_rpm": -1},
        {"spare_rpm": None},
        {"effective_rpm": True},
        {"window_used": 1.5},
        {"queue_depth": -1},
        {"queue_depth": 2**60},
        {"expected_wait_seconds": [1]},
        {"expected_wait_seconds": {"urgent": "soon"}},
        {"retreat_state": 3},
        {"lanes": [{"at_floor": "yes"}]},
        {"quiet_until": 1700000000},
        {"quiet_until": "tomorrow"},
        {"blocked": True},
        {"blocked": {"since": None}},
        {"blocked": {"reason": "key_rejected", "since": "yesterday"}},
    ],
)
def test_a_field_of_the_wrong_kind_makes_the_answer_none(change: dict[str, object]) -> None:
    with pytest.raises(CapacityError):
        capacity(**change)


def test_the_error_says_where() -> None:
    with pytest.raises(CapacityError, match=r"\$\.spare_rpm"):
        capacity(spare_rpm="12")
    with pytest.raises(CapacityError, match="'tomorrow' is no RFC 3339 time"):
        capacity(quiet_until="tomorrow")


def test_an_unknown_capacity_says_why() -> None:
    unknown = Capacity.unknown("the sidecar cannot be reached")
    assert not unknown.known
    assert unknown.error == "the sidecar cannot be reached"
    assert unknown.spare_rpm == 0


def test_callers_are_read() -> None:
    assert activities({}) == (
        CallerActivity(
            agent="coo",
            session="3f0c:0",
            queued=1,
            in_flight=2,
            oldest_wait_seconds=7.25,
            last_answer_at=60.0,
            requests=10,
            throttled=4,
            prompt_tokens=900,
            completion_tokens=80,
        ),
    )
    assert activities({"last_answer_at": None, "new": 1})[0].last_answer_at is None
    assert read_activities(b'[{"agent": "coo"}]', read_time) == (CallerActivity("coo"),)
    assert read_activities(b"[]", read_time) == ()


@pytest.mark.parametrize(
    "row", [{"agent": None}, {"requests": "many"}, {"queued": -1}, {"last_answer_at": "x"}]
)
def test_a_row_that_is_not_understood_makes_the_list_none(row: dict[str, object]) -> None:
    """Half a list would call somebody stuck who only waits."""
    with pytest.raises(CapacityError):
        activities({}, row)


def test_only_those_wait_that_have_something_queued_or_under_way() -> None:
    seen = activities(
        {"agent": "queued", "in_flight": 0},
        {"agent": "answered", "queued": 0},
        {"agent": "idle", "queued": 0, "in_flight": 0},
    )
    assert set(waiting_agents(seen)) == {"queued", "answered"}


def test_of_an_agents_sessions_the_one_that_waits_longest_stands_for_it() -> None:
    seen = activities(
        {"session": "a:0", "oldest_wait_seconds": 1},
        {"session": "b:0", "oldest_wait_seconds": 90},
        {"session": "c:0", "oldest_wait_seconds": 30},
        {"session": "d:0", "oldest_wait_seconds": 300, "queued": 0, "in_flight": 0},
    )
    assert waiting_agents(seen)["coo"].session == "b:0"


def test_sessions_go_by_openclaws_own_ids() -> None:
    seen = activities({"session": "3f0c:0"}, {"session": "agent:coo:task-t-0001-1"}, {"session": ""})
    assert set(waiting_sessions(seen)) == {"3f0c", "agent:coo:task-t-0001-1"}


def test_a_spare_rate_feeds_as_many_as_fit_into_it() -> None:
    assert feeds(12, [4, 4, 4, 4], nothing_runs=False) == 3
    assert feeds(11.9, [4, 4, 4], nothing_runs=False) == 2
    assert feeds(0, [LEAST_RPM], nothing_runs=False) == 0
    assert feeds(40, [], nothing_runs=True) == 0


def test_nobody_passes_one_that_is_too_hungry() -> None:
    assert feeds(10, [4, 20, 1], nothing_runs=False) == 1
    assert feeds(10, [20, 1], nothing_runs=False) == 0


def test_one_that_is_hungrier_than_the_budget_starts_when_nothing_else_runs() -> None:
    assert feeds(10, [20, 1], nothing_runs=True) == 1
    assert feeds(1, [20], nothing_runs=True) == 1
    assert feeds(0.9, [20], nothing_runs=True) == 0


@given(st.floats(0, 100), st.lists(st.floats(LEAST_RPM, 60), max_size=20))
def test_more_spare_never_feeds_fewer(spare: float, expected: list[float]) -> None:
    assert feeds(spare, expected, nothing_runs=False) <= feeds(spare + 1, expected, nothing_runs=False)
    assert sum(expected[: feeds(spare, expected, nothing_runs=False)]) <= spare


def count(agent: str, requests: int, *, session: str = "s", queued: int = 0) -> CallerActivity:
    return CallerActivity(agent, session, queued=queued, requests=requests)


class Team:
    """One agent with a run, seen once a minute (or as often as told) while its requests are counted."""

    def __init__(self) -> None:
        self.appetite = Appetite()
        self.now = 1000.0
        self.requests = 0
        self.see()

    def see(self, *, queued: int = 0, running: tuple[str, ...] = ("coo",)) -> None:
        self.appetite.observe(self.now, [count("coo", self.requests, queued=queued)], running)

    def pass_minutes(self, minutes: int, rpm: int, **seen: Any) -> float:
        for _ in range(minutes):
            self.now += 60
            self.requests += rpm
            self.see(**seen)
        return self.appetite.expected_rpm("coo")


def test_an_agent_that_nobody_has_seen_is_expected_to_need_the_usual() -> None:
    assert Appetite().expected_rpm("coo") == DEFAULT_RPM


def test_an_appetite_is_learnt_from_the_requests_of_its_runs() -> None:
    team = Team()
    first = team.pass_minutes(1, rpm=12)
    assert DEFAULT_RPM < first < 12
    assert team.pass_minutes(30, rpm=12) == pytest.approx(12, abs=0.1)
    assert team.pass_minutes(30, rpm=2) == pytest.approx(2, abs=0.1)


def test_how_often_it_is_looked_at_does_not_matter() -> None:
    minutely, often = Team(), Team()
    minutely.pass_minutes(5, rpm=12)
    for _ in range(20):
        often.now += 15
        often.requests += 3
        often.see()
    assert often.appetite.expected_rpm("coo") == pytest.approx(minutely.appetite.expected_rpm("coo"))


def test_nothing_is_learnt_while_no_run_lives() -> None:
    team = Team()
    assert team.pass_minutes(30, rpm=12, running=()) == DEFAULT_RPM
    assert team.pass_minutes(1, rpm=12) == DEFAULT_RPM, "it began somewhere in this minute"


def test_an_agent_whose_requests_do_not_carry_its_name_is_not_learnt() -> None:
    appetite = Appetite()
    for minute in range(5):
        appetite.observe(minute * 60.0, [count("3f0c:0", minute * 9)], ["coo"])
    assert appetite.expected_rpm("coo") == DEFAULT_RPM


def test_an_appetite_is_never_nothing() -> None:
    assert Team().pass_minutes(60, rpm=0) == LEAST_RPM


def test_one_that_is_kept_waiting_is_not_taken_for_one_that_needs_little() -> None:
    team = Team()
    learnt = team.pass_minutes(30, rpm=12)
    assert team.pass_minutes(30, rpm=1, queued=1) == learnt
    assert team.pass_minutes(30, rpm=20, queued=1) > learnt


def test_counts_that_begin_anew_are_no_rate_below_nothing() -> None:
    team = Team()
    team.pass_minutes(30, rpm=12)
    team.requests = 0
    assert team.pass_minutes(30, rpm=12) == pytest.approx(12, abs=0.1)


def test_the_sessions_of_an_agent_count_together_also_new_ones() -> None:
    appetite = Appetite()
    for minute in range(60):
        sessions = [
            count("coo", minute * 3, session="old"),
            count("coo", 5, session=f"of minute {minute}"),
        ]
        appetite.observe(minute * 60.0, sessions, ["coo"])
    assert appetite.expected_rpm("coo") == pytest.approx(8, abs=0.1)


@pytest.mark.parametrize("step", [0.0, -3600.0, LONGEST_STEP_SECONDS + 1])
def test_a_clock_step_or_a_long_pause_teaches_nothing(step: float) -> None:
    team = Team()
    team.now += step
    team.requests += 500
    team.see()
    assert team.appetite.expected_rpm("coo") == DEFAULT_RPM
    assert team.pass_minutes(60, rpm=12) == pytest.approx(12, abs=0.1)


def test_only_the_agents_learnt_last_are_remembered() -> None:
    appetite = Appetite()
    names = [f"agent-{number}" for number in range(MOST_AGENTS + 1)]
    for begin in range(len(names)):
        name = names[begin]
        appetite.observe(begin * 120.0, [count(name, 0)], [name])
        appetite.observe(begin * 120.0 + 60, [count(name, 30)], [name])
    assert appetite.expected_rpm(names[0]) == DEFAULT_RPM
    assert all(appetite.expected_rpm(name) > DEFAULT_RPM for name in names[1:])


def test_it_says_what_it_has_learnt() -> None:
    team = Team()
    assert repr(team.appetite) == "<Appetite, requests per minute: nothing learnt>"
    team.pass_minutes(60, rpm=12)
    assert repr(team.appetite) == "<Appetite, requests per minute: coo 12.0>"
