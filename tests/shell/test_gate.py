"""The gate: who asks gets a slot, waits, is turned away, or leaves; nothing is lost on the way."""

from collections.abc import Callable

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from proxy.core.band import Band
from proxy.core.classify import Meaning
from proxy.core.decisions import Dropped, FullPolicy, NoSlotInTime, QueueFull
from proxy.gate import Closed, Grant
from tests.shell.lanes import HOLD, Lane, ask_for

MakeLane = Callable[..., Lane]


async def test_a_free_slot_is_granted_without_waiting(autojump_clock: MockClock, lane: MakeLane) -> None:
    gate = lane().gate
    with trio.CancelScope() as scope:
        scope.cancel()  # whatever awaits anything now is cancelled
        assert isinstance(await gate.admit(ask_for()), Grant)
    assert not scope.cancelled_caught


async def test_one_that_waits_is_granted_when_a_slot_comes_free(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=1)
    (await one.granted()).written()
    second = one.ask()
    grant = await second.grant()
    assert second.decided_at == HOLD
    grant.unsent()
    one.assert_empty()


async def test_a_slot_counts_from_when_it_was_written_and_not_from_its_grant(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=1)
    grant = await one.granted()
    await trio.sleep(100)
    grant.written()
    second = one.ask()
    await second.grant()
    assert second.decided_at == 100 + HOLD


async def test_the_slot_of_a_request_that_was_never_written_goes_to_the_next(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=1)
    grant = await one.granted()
    second = one.ask()
    await trio.sleep(100)
    grant.unsent()
    await second.grant()
    assert second.decided_at == 100


async def test_a_grant_is_settled_once(autojump_clock: MockClock, lane: MakeLane) -> None:
    one = lane(limit=20)
    written, unsent, twice = [await one.granted() for _ in range(3)]
    written.written()
    written.unsent()
    unsent.unsent()
    unsent.written()
    twice.written()
    twice.written()
    assert one.statistics.window_used == 2
    verbs = [verb for verb, _ in one.stamps.told]
    assert verbs == ["held", "held", "held", "written", "unsent", "written"]


async def test_a_client_that_hangs_up_gives_its_place_to_the_next(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=1)
    (await one.granted()).written()
    leaves, stays = one.ask("a"), one.ask("b")
    await wait_all_tasks_blocked()
    assert one.waiting == 2
    leaves.hang_up()
    await wait_all_tasks_blocked()
    assert one.waiting == 1
    await stays.grant()
    assert stays.decided_at == HOLD
    assert leaves.answer is None


async def test_when_all_who_wait_hang_up_nothing_is_left_of_them(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=1)
    first = await one.granted()
    askers = [one.ask(f"agent {i}", band=band) for band in Band for i in range(25)]
    await wait_all_tasks_blocked()
    assert one.waiting == 100
    for asker in askers:
        asker.hang_up()
    await wait_all_tasks_blocked()
    first.unsent()
    one.assert_empty()
    assert [verb for verb, _ in one.stamps.told] == ["held", "unsent"]


async def test_a_slot_for_one_that_hangs_up_in_the_same_moment_comes_back(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=1)
    first = await one.granted()
    leaves = one.ask("a")
    await wait_all_tasks_blocked()
    stays = one.ask("b")
    await trio.sleep(100)
    # Between the hang-up and the moment the task learns of it, its turn comes.
    leaves.hang_up()
    first.unsent()
    assert one.statistics.window_used == 1
    grant = await stays.grant()
    assert leaves.answer is None
    grant.unsent()
    one.assert_empty()
    assert [verb for verb, _ in one.stamps.told] == ["held", "unsent"] * 3


async def test_a_probe_that_hangs_up_in_the_moment_of_its_grant_lets_another_one_probe(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=1)
    grant = await one.granted()
    grant.written()
    one.gate.learn(grant, Meaning.THROTTLED)
    holds = await one.granted(model="another")
    leaves = one.ask("a")
    await wait_all_tasks_blocked()
    stays = one.ask("b")
    await trio.sleep(100)
    leaves.hang_up()
    holds.unsent()
    assert one.statistics.window_used == 1, "the probe is granted before it can leave"
    probe = await stays.grant()
    assert probe.probe
    assert leaves.answer is None


async def test_nothing_is_asked_of_the_core_while_nothing_can_happen(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=1)
    (await one.granted()).written()
    before = one.core.pumps

    async def ask() -> None:
        (await one.granted()).written()

    async with trio.open_nursery() as askers:
        for _ in range(20):
            askers.start_soon(ask)
    assert trio.current_time() == 20 * HOLD
    # One as each comes, one as each is written, one at each one's time; a few may look a little early.
    assert one.core.pumps - before <= 5 * 20


async def test_the_pump_does_not_spin_while_a_request_is_being_written(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    # An unwritten slot's release moves on with the clock: whoever slept until then would wake for ever.
    one = lane(limit=20, capacity=10)
    grants = [await one.granted() for _ in range(9)]
    waiter = one.ask()
    await wait_all_tasks_blocked()
    before = one.core.pumps
    await trio.sleep(600)
    assert one.core.pumps - before < 250
    for grant in grants:
        grant.written()
    (await waiter.grant()).written()


async def test_an_idle_gate_sleeps(autojump_clock: MockClock, lane: MakeLane) -> None:
    one = lane(limit=5)
    (await one.granted()).written()
    before = one.core.pumps
    await trio.sleep(3600)
    assert one.core.pumps == before


async def test_one_that_cannot_be_served_before_its_deadline_is_told_on_arrival(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=1)
    (await one.granted()).written()
    asker = one.ask(patience=30.0)
    answer = await asker.over()
    assert asker.decided_at == 0
    assert isinstance(answer, NoSlotInTime)
    assert answer.wait_seconds >= 30
    assert one.waiting == 0


async def test_one_that_misses_its_deadline_all_the_same_is_told_at_the_deadline(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=1)
    unwritten = await one.granted()  # the estimate takes it for written now
    asker = one.ask(patience=100.0)
    await trio.sleep(50)
    unwritten.written()
    assert isinstance(await asker.over(), NoSlotInTime)
    assert asker.decided_at == 100
    assert one.waiting == 0


async def test_a_full_queue_refuses_the_newcomer(autojump_clock: MockClock, lane: MakeLane) -> None:
    one = lane(limit=1, queue_max=1, policy=FullPolicy.REJECT)
    (await one.granted()).written()
    inside = one.ask("a")
    await wait_all_tasks_blocked()
    newcomer = one.ask("b")
    assert isinstance(await newcomer.over(), QueueFull)
    assert newcomer.decided_at == 0
    await inside.grant()


async def test_a_full_queue_drops_the_lowest_for_a_more_urgent_one(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=1, queue_max=1, policy=FullPolicy.DROP_LOWEST)
    (await one.granted()).written()
    low = one.ask("a", band=Band.LOW)
    await wait_all_tasks_blocked()
    high = one.ask("b", band=Band.HIGH)
    assert isinstance(await low.over(), Dropped)
    assert low.decided_at == 0
    await high.grant()


async def test_a_full_queue_lets_the_newcomer_wait_outside_and_inside_goes_first(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=1, queue_max=1)
    (await one.granted()).written()
    inside = one.ask("a")
    await wait_all_tasks_blocked()
    outside = one.ask("b")
    await wait_all_tasks_blocked()
    assert one.statistics.outside == 1
    first = await inside.grant()
    assert outside.answer is None
    assert not first.ticket.outside
    first.written()
    second = await outside.grant()
    assert second.ticket.outside


async def test_a_further_attempt_finds_no_queue_full(autojump_clock: MockClock, lane: MakeLane) -> None:
    one = lane(limit=1, queue_max=1, policy=FullPolicy.REJECT)
    (await one.granted()).written()
    one.ask("a")
    await wait_all_tasks_blocked()
    again = one.ask("b", again=True)
    await wait_all_tasks_blocked()
    assert again.answer is None
    assert one.waiting == 2


async def test_a_gate_that_closes_turns_away_who_waits_and_who_comes(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=1)
    holds = await one.granted()
    askers = [one.ask(f"agent {i}") for i in range(3)]
    await wait_all_tasks_blocked()
    one.gate.close()
    assert [await asker.over() for asker in askers] == [Closed()] * 3
    assert await one.gate.admit(ask_for()) == Closed()
    holds.written()  # whoever is under way goes on
    assert one.waiting == 0
    assert one.statistics.window_used == 1


async def test_one_that_hangs_up_while_the_gate_closes_is_no_trouble(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=1)
    first = await one.granted()
    asker = one.ask()
    await wait_all_tasks_blocked()
    asker.hang_up()
    one.gate.close()
    await asker.over()
    first.unsent()
    one.assert_empty()


async def test_a_slot_is_on_disk_before_its_grant_is_handed_out(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=2)
    told_at_grant: list[list[str]] = []

    async def ask() -> None:
        grant = await one.granted()
        told_at_grant.append([verb for verb, _ in one.stamps.told])
        grant.written()

    await ask()  # at once
    (await one.granted()).written()
    await ask()  # after waiting
    assert [verbs[-1] for verbs in told_at_grant] == ["held", "held"]
    assert [verb for verb, _ in one.stamps.told] == ["held", "written"] * 3


async def test_statistics_are_true_after_an_idle_hour(autojump_clock: MockClock, lane: MakeLane) -> None:
    one = lane(limit=4)
    for _ in range(3):
        (await one.granted()).written()
    busy = one.statistics
    assert (busy.window_used, int(busy.tokens)) == (3, 1)
    await trio.sleep(3600)
    idle = one.statistics
    assert (idle.window_used, idle.tokens, idle.spare_rpm) == (0, 4.0, 4.0)
