"""What the gate makes of answers: pauses, quiet periods, probes, the retreat, and what the key is worth."""

from collections.abc import Callable

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from proxy.core.classify import Meaning
from proxy.gate import Grant
from tests.shell.lanes import Lane

MakeLane = Callable[..., Lane]
TOO_MANY = [Meaning.THROTTLED, Meaning.WORKERS_FULL]
NO_ANSWER = [Meaning.UNREACHABLE, Meaning.RESET, Meaning.SILENT, Meaning.GARBAGE]


async def answered(one: Lane, meaning: Meaning, retry_after: float | None = None, model: str = "m") -> Grant:
    """One request of that model, and what it came to."""
    grant = await one.granted(model=model)
    grant.written()
    one.gate.learn(grant, meaning, retry_after)
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
    one.gate.probe_lost(probe)
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
    assert one.gate.foreign_throttles == 1
    await answered(one, Meaning.THROTTLED, model="another")
    assert one.gate.foreign_throttles == 1, "the window was full of our own"
    await trio.sleep(100)
    await answered(one, Meaning.WORKERS_FULL, model="a third")
    assert one.gate.foreign_throttles == 1, "full workers say nothing about the key"


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
            blocked.append(gate.blocked and gate.blocked.reason)
    assert blocked == [reason] * 4 + [None] * 2
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("lane_blocked", "critical"),
        ("lane_unblocked", "warning"),
    ]
