"""What the gate makes of answers: pauses, quiet periods, probes, the retreat, and what the key is worth."""

from collections.abc import Callable

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from proxy.core.classify import Meaning
from proxy.core.decisions import KnownUnavailable, UpstreamDown
from proxy.gate import Grant
from tests.shell.lanes import Lane, broken

MakeLane = Callable[..., Lane]
TOO_MANY = [Meaning.THROTTLED, Meaning.WORKERS_FULL]
NO_ANSWER = [Meaning.UNREACHABLE, Meaning.RESET, Meaning.SILENT, Meaning.GARBAGE]


async def answered(one: Lane, meaning: Meaning, retry_after: float | None = None, model: str = "m") -> Grant:
    """One request of that model, and what it came to."""
    grant = await one.granted(model=model)
    grant.written()
    one.gate.learn(grant, meaning, retry_after)
    grant.ended()
    return grant


@pytest.mark.parametrize("meaning", TOO_MANY)
async def test_a_model_that_says_too_many_is_left_alone_for_two_seconds(
    autojump_clock: MockClock, lane: MakeLane, meaning: Meaning
) -> None:
    one = lane(limit=20)
    await answered(one, meaning)
    waits = one.ask(model="m")
    assert (await waits.grant()).probe
    assert waits.decided_at == 2.0


@pytest.mark.parametrize("meaning", TOO_MANY)
async def test_other_models_go_on_during_the_pause_of_one(
    autojump_clock: MockClock, lane: MakeLane, meaning: Meaning
) -> None:
    one = lane(limit=20)
    await answered(one, meaning)
    other = one.ask(model="another")
    await other.grant()
    assert other.decided_at == 0


async def test_one_probe_goes_and_the_others_wait_for_its_answer(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=20)
    await answered(one, Meaning.THROTTLED)
    askers = [one.ask(f"agent {i}") for i in range(3)]
    await trio.sleep(10)
    (probe,) = [asker.answer for asker in askers if isinstance(asker.answer, Grant)]
    assert probe.probe
    probe.written()
    one.gate.learn(probe, Meaning.ANSWERED)
    await wait_all_tasks_blocked()
    grants = [await asker.grant() for asker in askers]
    assert [grant.probe for grant in grants].count(True) == 1


async def test_a_probe_that_is_refused_doubles_the_pause_up_to_half_a_minute(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=40)
    await answered(one, Meaning.THROTTLED)
    waits = []
    for _ in range(6):
        since = trio.current_time()
        await answered(one, Meaning.WORKERS_FULL)
        waits.append(trio.current_time() - since)
    assert waits == [2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize("meaning", NO_ANSWER)
async def test_a_probe_without_an_answer_lets_the_next_one_probe(
    autojump_clock: MockClock, lane: MakeLane, meaning: Meaning
) -> None:
    one = lane(limit=20)
    await answered(one, Meaning.THROTTLED)
    probe = await one.granted()
    after = one.ask()
    await trio.sleep(10)
    assert after.answer is None
    probe.written()
    one.gate.learn(probe, meaning)
    assert (await after.grant()).probe


async def test_a_probe_that_is_lost_lets_the_next_one_probe(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=20)
    await answered(one, Meaning.THROTTLED)
    probe = await one.granted()
    after = one.ask()
    await trio.sleep(10)
    probe.unsent()
    one.gate.attempt_lost(probe)
    assert (await after.grant()).probe


async def test_a_parked_request_that_leaves_gives_its_place_back(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=20)
    await answered(one, Meaning.THROTTLED)
    leaves, stays = one.ask("a"), one.ask("b")
    await wait_all_tasks_blocked()
    assert one.waiting == 2
    leaves.hang_up()
    await wait_all_tasks_blocked()
    assert one.waiting == 1
    assert (await stays.grant()).probe


@pytest.mark.parametrize(
    ("said", "kept"), [(7.0, 7.0), (0.0, 1.0), (-5.0, 1.0), (1e9, 60.0), (float("inf"), 60.0)]
)
async def test_a_retry_after_keeps_the_whole_lane_quiet_between_a_second_and_a_minute(
    autojump_clock: MockClock, lane: MakeLane, said: float, kept: float
) -> None:
    one = lane(limit=20)
    await answered(one, Meaning.THROTTLED, said)
    assert one.statistics.quiet_until == kept
    other = one.ask(model="another")
    await other.grant()
    assert other.decided_at == kept
    assert one.statistics.quiet_until is None


async def test_a_retry_after_that_is_no_number_keeps_nobody_quiet(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=20)
    await answered(one, Meaning.THROTTLED, float("nan"))
    other = one.ask(model="another")
    await other.grant()
    assert other.decided_at == 0


async def test_a_shorter_retry_after_does_not_end_a_longer_one(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=20)
    first, second = await one.granted(), await one.granted()
    one.gate.learn(first, Meaning.THROTTLED, 30.0)
    one.gate.learn(second, Meaning.THROTTLED, 2.0)
    assert one.statistics.quiet_until == 30.0


async def test_a_429_while_our_own_window_had_room_is_somebody_elses(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=2)
    await answered(one, Meaning.THROTTLED)
    assert one.gate.foreign.count == 1
    await answered(one, Meaning.THROTTLED, model="another")
    assert one.gate.foreign.count == 1, "the window was full of our own"
    await trio.sleep(100)
    await answered(one, Meaning.WORKERS_FULL, model="a third")
    assert one.gate.foreign.count == 1, "full workers say nothing about the key"


async def test_the_retreat_goes_by_the_clock_without_any_traffic(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=40)
    with capture_logs() as logs:
        for model in "abcdef":
            await answered(one, Meaning.THROTTLED, model=model)
        states = []
        for seconds in (14.9, 0.2, 1000.0):
            await trio.sleep(seconds)
            states.append((one.retreat.state.value, one.statistics.effective_rpm))
    assert states == [("normal", 40.0), ("retreat", 30.0), ("normal", 40.0)]
    changes = [(line["from_rpm"], line["to_rpm"]) for line in logs if line["event"] == "rate_changed"]
    assert changes[0] == (40.0, 30.0)
    assert changes[-1][1] == 40.0
    assert {line["log_level"] for line in logs} == {"warning"}


async def test_the_floor_is_told_at_alert_level(autojump_clock: MockClock, lane: MakeLane) -> None:
    one = lane(limit=40)
    with capture_logs() as logs:
        for i in range(21):
            grant = await one.granted(model=f"model {i}")
            grant.written()
            one.gate.learn(grant, Meaning.THROTTLED)
        await trio.sleep(16)
    (line,) = [line for line in logs if line["event"] == "rate_changed"]
    assert (line["log_level"], line["to_rpm"], line["at_floor"]) == ("critical", 5.0, True)


@pytest.mark.parametrize(
    ("meaning", "reason"), [(Meaning.KEY_REJECTED, "key_rejected"), (Meaning.NO_CREDITS, "no_credits")]
)
async def test_a_refused_key_blocks_the_lane_until_one_succeeds_and_is_told_once(
    autojump_clock: MockClock, lane: MakeLane, meaning: Meaning, reason: str
) -> None:
    gate = lane().gate
    blocked = []
    with capture_logs() as logs:
        for seen, succeeded in [
            (meaning, False),
            (meaning, False),
            (Meaning.THROTTLED, False),
            (Meaning.ANSWERED, False),  # a 404 is no success
            (Meaning.ANSWERED, True),
            (Meaning.ANSWERED, True),
        ]:
            gate.note_key(seen, succeeded=succeeded)
            blocked.append([blocked.reason for blocked in gate.blocked()])
    assert blocked == [[reason]] * 4 + [[]] * 2
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("lane_blocked", "critical"),
        ("lane_unblocked", "warning"),
    ]


async def test_a_model_with_full_workers_sends_the_next_when_one_is_over(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=20)
    grants = [await one.granted() for _ in range(4)]
    await trio.sleep(1)
    one.gate.learn(grants[0], Meaning.WORKERS_FULL, succeeded=False)
    grants[0].ended()
    waits = one.ask()
    await trio.sleep(10)
    assert waits.answer is None, "three are under way, and two may be"
    grants[1].ended()
    await wait_all_tasks_blocked()
    assert waits.answer is None
    grants[2].ended()
    grants[2].ended()  # once is enough
    assert (await waits.grant()).probe
    assert waits.decided_at == 11


async def test_a_grant_that_comes_in_the_moment_of_the_hang_up_is_not_under_way(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=1)
    first = await one.granted(model="another")
    leaves = one.ask()
    await trio.sleep(1)
    leaves.hang_up()
    first.unsent()
    await wait_all_tasks_blocked()
    assert leaves.answer is None
    last = await one.granted()
    one.gate.learn(last, Meaning.WORKERS_FULL, succeeded=False)
    assert one.statistics.models["m"].in_flight == 1


async def test_an_error_at_the_end_of_a_stream_is_learnt_if_it_is_a_refusal(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=20)
    for meaning, model in ((Meaning.WORKERS_FULL, "a"), (Meaning.THROTTLED, "b"), (Meaning.TROUBLE, "c")):
        grant = await one.granted(model=model)
        one.gate.learn(grant, Meaning.ANSWERED)
        one.gate.learn_late(grant, meaning)
    known = one.statistics.models
    assert {model: (state.limit, state.paused_until) for model, state in known.items()} == {
        "a": (1, 2.0),
        "b": (None, 2.0),
    }


@pytest.mark.parametrize("meaning", [Meaning.TROUBLE, Meaning.SILENT])
async def test_a_broken_model_is_told_in_the_log_and_its_requests_are_refused(
    autojump_clock: MockClock, lane: MakeLane, meaning: Meaning
) -> None:
    one = lane(limit=20)
    with capture_logs() as logs:
        await broken(one, meaning)
    (line,) = logs
    assert (line["event"], line["model"], line["failed_with"]) == ("model_down", "m", meaning)
    assert isinstance(await one.ask().over(), UpstreamDown)
    assert one.gate.blocked() == []
    await one.granted(model="another")


async def test_a_broken_upstream_blocks_the_lane_while_it_refuses_and_until_an_answer(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=20)
    with capture_logs() as logs:
        await broken(one, Meaning.UNREACHABLE)
        assert [blocked.reason for blocked in one.gate.blocked()] == ["upstream_down"]
        await trio.sleep(5)
        assert one.gate.blocked() == [], "it is time for somebody to try"
        trial = one.ask(model="n")
        await trial.grant()
        assert [blocked.reason for blocked in one.gate.blocked()] == ["upstream_down"], "somebody tries"
        one.gate.learn(await trial.grant(), Meaning.TROUBLE, succeeded=False)
        assert one.gate.blocked() == []
        assert one.gate.down_evidence is None
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("lane_blocked", "critical"),
        ("lane_unblocked", "warning"),
    ]


@pytest.mark.parametrize("waits", [False, True])
async def test_a_trial_that_is_given_up_leaves_it_to_the_next(
    autojump_clock: MockClock, lane: MakeLane, waits: bool
) -> None:
    """Whether it still waits for its slot, or is with the upstream."""
    one = lane(limit=20)
    await broken(one, Meaning.RESET)
    await trio.sleep(5)
    if waits:
        one.core.keep_quiet(60)
    trial = one.ask()
    await wait_all_tasks_blocked()
    assert isinstance(await one.ask().over(), UpstreamDown)
    if waits:
        trial.hang_up()
    else:
        one.gate.attempt_lost(await trial.grant())
    await wait_all_tasks_blocked()
    await one.ask().grant()


async def test_a_model_that_cannot_be_had_is_answered_from_memory(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=20)
    grant = await one.granted()
    one.gate.learn(grant, Meaning.UNAVAILABLE, answer="gone", succeeded=False)
    known = await one.ask().over()
    assert isinstance(known, KnownUnavailable)
    assert known.answer == "gone"
    nameless = await one.granted(model="")
    one.gate.learn(nameless, Meaning.UNAVAILABLE, answer="gone", succeeded=False)
    await one.granted(model="")
    await trio.sleep(60)
    await one.granted()
