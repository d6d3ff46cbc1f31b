"""The contract of the budget (docs/sidecar.md; figures: docs/performance.md) as simulated claims."""

from collections import Counter
from functools import cache

import pytest

from proxy.core.band import Band
from proxy.core.decisions import FullPolicy
from tests.core.simulation import Client, Lane, Observed, Simulation, jain, quantile, team

OURS = Lane()
URGENT = Client("pager", band=Band.URGENT, mean_gap_seconds=20)

OTHER_LANES = {
    "L=1": Lane(rate_rpm=1),
    "L=2": Lane(rate_rpm=2),
    "half a request per minute": Lane(rate_rpm=0.5, window_seconds=600),
    "1000 per minute": Lane(rate_rpm=1000),
    "a window of 2 s": Lane(rate_rpm=300, window_seconds=2, margin_seconds=0.3),
    "no margin": Lane(margin_seconds=0),
    "capacity 1": Lane(bucket_capacity=1),
    "capacity 20": Lane(bucket_capacity=20),
    "capacity above L": Lane(rate_rpm=7, bucket_capacity=100),
}


def of_each_lane() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("lane", OTHER_LANES.values(), ids=OTHER_LANES)


def crowd(lane: Lane, size: int = 24) -> list[Client]:
    """The 24 clients of budget.md, their service times in proportion to the lane's interval."""
    return team(size, service_seconds=(0.13 * lane.interval, 20 * lane.interval))


@cache
def table_runs() -> list[tuple[Simulation, Observed]]:
    """The scenario of budget.md's table: 24 clients, one URGENT per 20 s, t = 610 s, 10 seeds."""
    runs = [Simulation(OURS, [*crowd(OURS), URGENT], seed=seed) for seed in range(10)]
    return [(run, run.run(610)) for run in runs]


# Never over


def test_ten_seeds_of_the_table_never_violate_a_window() -> None:
    assert [run.upstream.violations for run, _ in table_runs()] == [0] * 10


@pytest.mark.parametrize("seed", range(10))
def test_slow_uploads_failures_hangups_and_full_jitter_never_violate_a_window(seed: int) -> None:
    clients = team(16, upload_seconds=(0, 20), fails_unsent=0.1, hangs_up=0.2)
    run = Simulation(OURS, [*clients, URGENT], seed=seed, jitter_seconds=OURS.margin_seconds)
    seen = run.run(600)
    assert run.upstream.violations == 0
    assert seen.hung_up > 0


@of_each_lane()
def test_no_setting_violates_a_window_over_kills_and_full_jitter(lane: Lane) -> None:
    clients = team(8, upload_seconds=(0, lane.interval), fails_unsent=0.1)
    run = Simulation(lane, clients, seed=1, jitter_seconds=lane.margin_seconds)
    for _ in range(4):
        run.run(lane.window_seconds * run.random.uniform(0.1, 1.5))
        run.kill()
    run.run(2 * lane.window_seconds)
    assert run.upstream.violations == 0


def test_a_margin_smaller_than_the_jitter_is_caught_by_the_upstream() -> None:
    """The upstream of these tests is strict: the claims above could fail."""
    run = Simulation(Lane(margin_seconds=0), crowd(OURS), seed=1, jitter_seconds=0.3)
    run.run(610)
    assert run.upstream.violations > 0


def test_kill_minus_nine_costs_no_violation_and_little_of_the_budget() -> None:
    shares = []
    for seed in range(15):
        run = Simulation(OURS, team(24, upload_seconds=(0, 1)), seed=seed, jitter_seconds=1)
        for _ in range(2):
            run.run(run.random.uniform(100, 300))
            run.kill()
        run.run(1200 - (run.now - run.started_at))
        assert run.upstream.violations == 0
        shares.append(len(run.seen.sends) / OURS.allowed(1200))
    assert sum(shares) / len(shares) >= 0.97


# Never idle


def test_the_budget_is_used() -> None:
    assert min(len(seen.sends) / OURS.allowed(610) for _, seen in table_runs()) >= 0.997


@of_each_lane()
def test_no_setting_idles_over_three_windows_of_backlog(lane: Lane) -> None:
    run = Simulation(lane, crowd(lane), seed=2, jitter_seconds=0)
    run.run(lane.hold_seconds)
    seen = run.run(3 * lane.hold_seconds)
    sent = seen.sent(since=run.started_at + lane.hold_seconds)
    assert sent >= 0.97 * lane.limit * 3 - 1  # the last slot may come free a moment after the end


@pytest.mark.parametrize("idle", [0.0, 5.0, 30.0, 61.0, 500.0])
def test_a_backlog_that_begins_at_any_time_is_served_without_idling(idle: float) -> None:
    run = Simulation(OURS, team(10, service_seconds=(0.2, 1)), seed=3)
    run.run(35)
    held = run.engine.statistics(run.now).window_used
    run.run(idle)
    begin = run.now
    seen = run.run(3 * OURS.hold_seconds)
    assert seen.sent(since=begin) >= 0.97 * 3 * OURS.limit - held


def test_half_the_rate_in_retreat_is_really_spent() -> None:
    """A rate of 20 gives 19.8 a minute, not 14.4: the retreat slows the pace, never the window."""
    run = Simulation(OURS, crowd(OURS), seed=4)
    run.engine.retreat.effective_rpm = 20
    run.engine._budget.set_factor(run.engine.retreat.factor, run.now)
    run.run(61)
    seen = run.run(600)
    assert 19.7 <= seen.sent(since=run.started_at + 61) / 10 <= 20.1


# Urgent first


def test_urgent_requests_wait_two_seconds_at_most_in_the_steady_state() -> None:
    waits = sorted(
        wait for run, seen in table_runs() for wait in seen.waits_of(Band.URGENT, run.started_at + 61)
    )
    assert quantile(waits, 0.5) <= 0.7
    assert quantile(waits, 0.95) <= 2.0
    assert waits[-1] <= 2 * OURS.interval


@pytest.mark.parametrize("gap", [20, 6])
def test_the_nth_waiting_urgent_request_waits_n_plus_one_turns_at_most(gap: float) -> None:
    """Singles at random; two full holds after the first burst, when its echo has passed."""
    for seed in range(10):
        run = Simulation(OURS, crowd(OURS), seed=seed)
        run.run(2 * OURS.hold_seconds)
        asked: dict[int, tuple[float, float]] = {}

        def ask(run: Simulation = run, asked: dict[int, tuple[float, float]] = asked) -> None:
            nth = run.engine.statistics(run.now).depth[Band.URGENT] + 1
            run.ask(Client("pager", band=Band.URGENT, think_seconds=(9999, 9999)))
            asked[run.last_id] = (run.now, (nth + 1) * OURS.interval)
            run.at(run.now + run.random.expovariate(1 / gap), ask)

        run.at(run.now, ask)
        for at, ticket in run.run(500).sends:
            if ticket.id in asked:
                asked_at, bound = asked.pop(ticket.id)
                assert at - asked_at <= bound + 1e-6
        assert len(asked) <= 2  # asked a moment before the end


@pytest.mark.parametrize("capacity", [1, 2, 5, 20])
@pytest.mark.parametrize("offset", [0.1, 0.8, 1.6, 2.9])
def test_a_small_burst_leaves_room_for_urgent_singles(capacity: int, offset: float) -> None:
    """With `bucket_capacity` <= L/2, right after a single burst too, for singles 2T apart."""
    lane = Lane(bucket_capacity=capacity)
    run = Simulation(lane, crowd(lane), seed=5)
    pager = Client("pager", band=Band.URGENT, think_seconds=(9999, 9999))
    for n in range(50):
        run.at(run.now + offset + n * 2 * lane.interval, lambda: run.ask(pager))
    seen = run.run(160)
    assert len(seen.waits_of(Band.URGENT)) >= 48
    assert seen.waits_of(Band.URGENT)[-1] <= 2 * lane.interval + 1e-6


def test_only_the_reserve_is_left_right_after_a_full_burst() -> None:
    pagers = [Client(f"pager-{n}", band=Band.URGENT, think_seconds=(9999, 9999)) for n in range(6)]
    run = Simulation(OURS, team(40, service_seconds=(1, 30)), seed=6)
    run.run(1)
    assert len(run.seen.sends) == 36
    for pager in pagers:
        run.ask(pager)
    run.run(10)
    assert len(run.seen.waits_of(Band.URGENT)) == 4


# The wait of everybody else


def test_normal_requests_stall_seven_seconds_at_most_in_the_steady_state() -> None:
    assert max(seen.longest_stall(run.started_at + 61) for run, seen in table_runs()) <= 7.2
    run = Simulation(OURS, crowd(OURS), seed=7)
    assert run.run(610).longest_stall(run.started_at + 61) <= 2 * OURS.interval + 0.1


def test_a_smaller_burst_ends_the_long_wait_after_it() -> None:
    stalls = {}
    for capacity in (20, 40):
        run = Simulation(Lane(bucket_capacity=capacity), crowd(OURS, 40), seed=8)
        stalls[capacity] = run.run(122).longest_stall()
    assert stalls[20] <= 3 * OURS.interval + 0.1
    assert stalls[40] >= 30


# Fair


def test_agents_get_equal_shares() -> None:
    run = Simulation(OURS, crowd(OURS), seed=9)
    seen = run.run(2400)
    assert jain(seen.by_agent().values()) >= 0.99


def test_a_greedy_agent_gets_no_more_than_the_others() -> None:
    """Agent 0 runs twelve clients in three sessions; the others one each. Aging does not help a flood."""
    flood = [Client("agent-0", session=f"s{n % 3}", service_seconds=(0.2, 5)) for n in range(12)]
    run = Simulation(OURS, [*team(8, service_seconds=(0.2, 0.5)), *flood], seed=10)
    run.run(1800)
    assert jain(run.seen.by_agent().values()) >= 0.95


def test_a_hundred_waiting_requests_delay_another_agents_single_one_by_two_turns() -> None:
    run = Simulation(OURS, [Client("flood") for _ in range(140)], seed=11)
    run.run(100)
    for _ in range(20):
        begin = len(run.seen.sends)
        run.ask(Client("single", think_seconds=(9999, 9999)))
        run.run(9)
        ahead = [ticket.agent for _, ticket in run.seen.sends[begin:]].index("single")
        assert ahead <= 2


def test_an_aged_band_takes_part_as_one_more_agent() -> None:
    """Three agents of HIGH keep the lane busy; NORMAL gets one turn in four, once it has aged."""
    high = team(3, band=Band.HIGH, service_seconds=(0.1, 0.2))
    normal = [Client(f"patient-{n}") for n in range(60)]
    run = Simulation(Lane(aging_seconds=30), [*high, *high, *normal], seed=12)
    run.run(200)
    seen = run.run(600)
    bands = Counter(ticket.band for at, ticket in seen.sends if at >= run.started_at + 200)
    assert 0.2 <= bands[Band.NORMAL] / bands.total() <= 0.27


def test_aging_does_not_let_a_flood_ahead_of_everybody() -> None:
    """Single requests of other agents still wait about a turn and a half while 100 of one agent are old."""
    flood = [Client("flood", band=Band.NORMAL, service_seconds=(0.1, 1)) for _ in range(100)]
    high = team(2, band=Band.HIGH, service_seconds=(5, 10))
    single = Client("single", mean_gap_seconds=15)
    run = Simulation(OURS, [*flood, *high, single], seed=13)
    run.run(200)
    begin = run.now
    run.run(1200)
    waits = sorted(
        at - ticket.queued_at
        for at, ticket in run.seen.sends
        if ticket.agent == "single" and ticket.queued_at >= begin
    )
    assert quantile(waits, 0.5) <= 3 * OURS.interval  # two turns, and one for HIGH in between
    assert quantile(waits, 0.95) <= 6 * OURS.interval


# Honest


@pytest.mark.parametrize("patience", [20, 60, 300])
@pytest.mark.parametrize("bands", ["NORMAL", "HIGH NORMAL", "HIGH NORMAL LOW", "HIGH NORMAL NORMAL NORMAL"])
def test_few_of_those_accepted_miss_their_deadline_at_one_and_a_half_times_overload(
    bands: str, patience: float
) -> None:
    mixed = [Band[name] for name in bands.split()]
    gap = 20 / (1.5 * OURS.limit / OURS.hold_seconds)
    agents = [
        Client(f"a{n}", mean_gap_seconds=gap, patience_seconds=patience, band=mixed[n % len(mixed)])
        for n in range(20)
    ]
    run = Simulation(OURS, [*agents, URGENT], seed=1)
    seen = run.run(3600)
    assert seen.refused_on_arrival > 300
    assert seen.missed < 0.03 * seen.accepted
    assert seen.deadline_error_seconds < 1e-6
    served = seen.sent(since=run.started_at + 61) / (3600 - 61)
    assert served >= 0.97 * OURS.limit / OURS.hold_seconds  # refusing so many left nobody idle


@pytest.mark.parametrize("band", Band)
def test_nobody_is_refused_at_a_light_load(band: Band) -> None:
    lane = Lane(bucket_capacity=20)
    others = [Client(f"other-{of.label}", band=of, mean_gap_seconds=12, patience_seconds=2) for of in Band]
    mine = Client("mine", band=band, mean_gap_seconds=30, patience_seconds=2)
    run = Simulation(lane, [*others, mine], seed=14)
    seen = run.run(3600)
    assert (seen.refused_on_arrival, seen.missed) == (0, 0)
    assert len(seen.sends) > 1000


def test_what_higher_bands_sent_refuses_nobody_while_the_lane_is_idle() -> None:
    """One URGENT request, then LOW: it waits one interval, and its deadline is a little later."""
    run = Simulation(Lane(bucket_capacity=1), [], seed=0)
    run.ask(Client("pager", band=Band.URGENT))
    run.ask(Client("low", band=Band.LOW, patience_seconds=2))
    assert len(run.run(2).sends) == 2


def test_a_backlog_that_has_been_served_refuses_nobody() -> None:
    """Many NORMAL requests have waited and gone; LOW comes when nobody waits, and takes the next slot."""
    run = Simulation(OURS, [], seed=0)
    for number in range(60):
        run.ask(Client(f"agent-{number}", mean_gap_seconds=1e9))
    run.run(120)
    assert run.engine.statistics(run.now).depth == dict.fromkeys(Band, 0)
    run.ask(Client("low", band=Band.LOW, patience_seconds=2, mean_gap_seconds=1e9))
    seen = run.run(3)
    assert (seen.refused_on_arrival, seen.missed, len(seen.sends)) == (0, 0, 61)


# Retreat and pauses


def test_a_clump_of_five_429s_costs_ten_rpm_for_three_and_a_half_minutes() -> None:
    """Five of a burst at once: one judgement, one step down, two calm minutes, five steps up."""
    run = Simulation(OURS, team(40, service_seconds=(0.2, 2)), seed=15)
    run.upstream.refuse_next = 5
    seen = run.run(400)
    assert [rpm for _, rpm in seen.rates] == [30, 32, 34, 36, 38, 40]
    assert 180 <= seen.rates[-1][0] - run.started_at <= 215


@pytest.mark.parametrize("capacity", [20, 30, 36])
def test_the_retreat_settles_near_what_the_upstream_really_gives(capacity: int) -> None:
    models = ["a", "b", "c"]
    clients = [Client(f"agent-{n}", model=models[n % 3]) for n in range(24)]
    run = Simulation(OURS, clients, seed=16, capacity=capacity)
    run.run(900)
    begin, before = run.now, dict(run.upstream.refusals)
    seen = run.run(1800)
    refused = run.upstream.refusals.total() - sum(before.values())
    sent = seen.sent(since=begin)
    assert refused / sent <= 0.05
    assert (sent - refused) / 30 >= 0.75 * capacity


def test_one_blocked_model_takes_few_sends_and_leaves_the_rate_alone() -> None:
    for seed in range(5):
        clients = [Client(f"agent-{n}", model="blocked" if n % 3 == 0 else "fine") for n in range(12)]
        run = Simulation(OURS, clients, seed=seed)
        run.run(100)
        run.upstream.refused_models.add("blocked")
        before = run.upstream.arrivals["blocked"]
        seen = run.run(180)
        assert run.upstream.arrivals["blocked"] - before <= 12
        assert seen.rates == []
        run.upstream.refused_models.clear()
        begin = run.now
        run.run(120)
        assert sum(ticket.model == "blocked" for at, ticket in run.seen.sends if at > begin) >= 10


def test_a_blocked_model_is_told_apart_from_a_blocked_account() -> None:
    run = Simulation(OURS, [Client(f"agent-{n}", model=f"m{n % 4}") for n in range(24)], seed=17)
    run.run(100)
    run.upstream.refused_models.update({"m0", "m1", "m2", "m3"})
    seen = run.run(100)
    assert seen.rates
    assert seen.rates[0][1] < 40


# Workers


def shared(full: int | None, seed: int) -> tuple[Simulation, Observed]:
    """Two teams, each with a model of its own; that of the second has `full` workers (None: enough)."""
    clients = [
        Client(f"{model}-{n}", model=model, service_seconds=(5, 15))
        for model in ("fine", "crowded")
        for n in range(12)
    ]
    run = Simulation(OURS, clients, seed=seed)
    if full is not None:
        run.upstream.workers["crowded"] = full
    return run, run.run(1800)


def served(run: Simulation, model: str, since: float = 0) -> int:
    return sum(ticket.model == model for at, ticket in run.seen.served if at >= run.started_at + since)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_full_workers_of_one_model_cost_another_nothing(workers: int) -> None:
    """What the crowded model does not take, the other may: neither the window nor the rate suffers."""
    undisturbed, _ = shared(None, seed=20)
    run, seen = shared(workers, seed=20)
    assert run.upstream.violations == 0
    assert seen.rates == []
    assert served(run, "fine") >= served(undisturbed, "fine")
    assert len(seen.sends) >= 0.97 * OURS.allowed(1800) or served(run, "fine") >= 0.97 * 12 / 10 * 1800


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_a_governed_model_keeps_its_workers_busy_and_wastes_few_sends(workers: int) -> None:
    """Nobody else uses the lane: of what the workers could do most is done, and few sends find them taken."""
    clients = [Client(f"a-{n}", model="crowded", service_seconds=(20, 40)) for n in range(24)]
    run = Simulation(OURS, clients, seed=21)
    run.upstream.workers["crowded"] = workers
    run.run(3600)
    possible = workers * 3600 / 30
    assert run.upstream.violations == 0
    assert served(run, "crowded") >= 0.6 * possible
    assert run.upstream.exhausted["crowded"] <= 60 + 20, "one a minute, and the first burst"


def test_an_agent_with_many_requests_for_a_governed_model_delays_anothers_by_its_turn() -> None:
    flood = [Client("flood", model="crowded", service_seconds=(9, 11)) for _ in range(30)]
    single = Client("single", model="crowded", service_seconds=(9, 11))
    run = Simulation(OURS, [*flood, single], seed=22)
    run.upstream.workers["crowded"] = 2
    run.run(1800)
    by_agent = Counter(ticket.agent for at, ticket in run.seen.served if at >= run.started_at + 120)
    assert by_agent["single"] >= 0.2 * by_agent.total(), "and not one in 31"


def test_a_limit_is_gone_half_an_hour_after_the_workers_were_full_last() -> None:
    run, _ = shared(2, seed=23)
    run.upstream.workers.clear()
    run.run(1900)
    assert run.engine.statistics(run.now).models == {}
    begin = run.now - run.started_at
    run.run(600)
    assert served(run, "crowded", begin) == pytest.approx(served(run, "fine", begin), rel=0.1)


# Everything at once


@pytest.mark.parametrize("policy", FullPolicy)
def test_a_rough_day_ends_with_nobody_forgotten(policy: FullPolicy) -> None:
    """All bands, blocked models, kills, hang-ups, failures, a small queue; in the end all have left."""
    clients = [
        Client(
            f"agent-{n % 7}",
            session=f"s{n % 3}",
            band=Band(n % 4),
            model=f"m{n % 5}",
            mean_gap_seconds=40,
            upload_seconds=(0, 3),
            patience_seconds=120,
            hangs_up=0.1,
            fails_unsent=0.05,
        )
        for n in range(40)
    ]
    lane = Lane(queue_max=8, full_policy=policy)
    run = Simulation(lane, clients, seed=18, jitter_seconds=1)
    for _ in range(3):
        run.run(300)
        run.upstream.refused_models = {"m0", "m3"}
        run.upstream.workers = {"m1": 1, "m4": 2}
        run.run(200)
        run.upstream.refused_models.clear()
        run.upstream.workers.clear()
        run.kill()
    run.stop_asking()
    run.run(3000)
    statistics = run.engine.statistics(run.now)
    assert run.upstream.violations == 0
    assert run.seen.deadline_error_seconds < 1e-6
    assert (sum(statistics.depth.values()), statistics.outside, statistics.window_used) == (0, 0, 0)
    assert run.engine.wake_at(run.now) == float("inf")
