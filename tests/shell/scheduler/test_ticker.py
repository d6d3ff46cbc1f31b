"""One tick, with a real board on disk and a runner that only pretends: what is looked at, planned, done."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import trio

from scheduler.archivist import Archivist
from scheduler.blackboard.board import Board
from scheduler.blackboard.store import Store
from scheduler.core import halting
from scheduler.core.change import Change
from scheduler.core.records import Run
from scheduler.core.rules import Rules
from scheduler.core.sighting import RunRef, RunSeen, RunState, Sighting
from scheduler.core.states import Status
from scheduler.core.task import Draft, Priority, Task
from scheduler.execution import Executor
from scheduler.last_look import LastLook
from scheduler.reviewing import Reviewing
from scheduler.roster.complete import complete
from scheduler.roster.file import RosterFile
from scheduler.runs import Order, StartResult, StartState
from scheduler.sidecar import Sidecar
from scheduler.starter import Starter
from scheduler.tick_report import TickReport
from scheduler.ticker import IDLE_LOOK_SECONDS, Ticker
from scheduler.tickets import Tickets
from shared import clock
from tests.fresh_board import fresh_board
from tests.integration.processes import until

NOBODY = complete(RosterFile())


@dataclass
class PretendedRunner:
    """Runs exist because it says so. `says` is what the next look shows, `starts` what it was asked for."""

    says: dict[str, RunSeen] = field(default_factory=dict)
    starts: list[Order] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    archived: list[str] = field(default_factory=list)
    up: bool = True
    result: StartResult = field(default_factory=lambda: StartResult(StartState.STARTED))
    can_stop: bool = True

    async def start(self, order: Order) -> StartResult:
        await trio.lowlevel.checkpoint()
        self.starts.append(order)
        if self.result.state is StartState.STARTED:
            self.says.setdefault(order.run_id, RunSeen(order.run_id, RunState.RUNNING))
        return self.result

    async def look(self, runs: Sequence[RunRef]) -> Sighting:
        await trio.lowlevel.checkpoint()
        absent = {each.run_id: RunSeen(each.run_id, RunState.ABSENT) for each in runs}
        return Sighting(self.up, "" if self.up else "down", clock.wall(), absent | self.says)

    async def stop(self, session_key: str) -> bool:
        await trio.lowlevel.checkpoint()
        self.stopped.append(session_key)
        return self.can_stop

    async def archive(self, session_key: str, directory: Path) -> bool:
        await trio.lowlevel.checkpoint()
        self.archived.append(session_key)
        return True


@dataclass
class Bench:
    """A ticker with everything around it; the starter runs beside it."""

    store: Store
    runner: PretendedRunner
    ticker: Ticker
    starter: Starter
    tickets: Tickets
    archivist: Archivist
    reports: list[TickReport]

    def put(self, title: str = "a task", *, assignee: str | None = "ops", **more: object) -> Task:
        draft = Draft(title=title, assignee=assignee, creator="ann", **more)  # type: ignore[arg-type]  # words of a Draft
        return self.store.create(draft, who="ann", now=clock.wall())

    def status(self, task: Task) -> Status:
        return self.store.task(task.id).status

    async def until_started(self, *tasks: Task) -> None:
        await until(lambda: all(self._run(task) is Run.STARTED for task in tasks))

    def _run(self, task: Task) -> Run | None:
        attempt = self.store.attempt(task.id, self.store.task(task.id).epoch)
        return None if attempt is None else attempt.run


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    store = Store.open(fresh_board(tmp_path / "board.db"), artifacts=tmp_path / "artifacts")
    board, runner, sidecar, tickets = (
        Board(store),
        PretendedRunner(),
        Sidecar(None),
        Tickets(tmp_path / "tickets", "http://127.0.0.1:8083"),
    )
    reports: list[TickReport] = []
    starter = Starter(
        board=board,
        runner=runner,
        tickets=tickets,
        blackboard=Path("/opt/bin/blackboard"),
        spacing_seconds=0,
        on_start=lambda _attempt: None,
    )
    archivist = Archivist(board, runner, tickets)
    executor = Executor(
        board=board,
        runner=runner,
        starter=starter,
        tickets=tickets,
        reviewing=Reviewing(board, roster=lambda: NOBODY, environ={}, state_dir=tmp_path),
        archivist=archivist,
        note=lambda *_: None,
    )
    ticker = Ticker(
        board=board,
        runner=runner,
        sidecar=sidecar,
        starter=starter,
        executor=executor,
        rules=lambda: Rules(max_concurrent=2),
        interval_seconds=60,
        last_look=LastLook(tmp_path / "last-tick", interval_seconds=60),
        on_report=reports.append,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(starter.run)
        nursery.start_soon(archivist.run)
        yield Bench(store, runner, ticker, starter, tickets, archivist, reports)
        nursery.cancel_scope.cancel()
    await sidecar.aclose()
    store.close()


async def test_a_task_of_an_agent_is_claimed_and_started_with_a_ticket_that_names_it(bench: Bench) -> None:
    task = bench.put("Write it down", description="in one page", priority=Priority.HIGH)
    report = await bench.ticker.tick()
    assert report.started == (task.id,)
    await bench.until_started(task)
    (order,) = bench.runner.starts
    assert (order.task_id, order.epoch, order.agent, order.priority) == (task.id, 1, "ops", "high")
    assert order.session_key == f"agent:ops:task-{task.id.lower()}-1"
    assert order.run_id == f"{task.id}.1"
    assert "Write it down" in order.prompt
    assert "in one page" in order.prompt
    assert order.ticket_file in order.prompt
    ticket = await trio.Path(order.ticket_file).stat()
    assert ticket.st_mode & 0o777 == 0o600


async def test_a_second_tick_at_once_does_nothing(bench: Bench) -> None:
    bench.put()
    bench.put(assignee=None)
    await bench.ticker.tick()
    report = await bench.ticker.tick()
    assert report.commands.get("Start") is None
    assert report.started == ()


async def test_with_nothing_to_do_the_gateway_is_looked_at_every_five_minutes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall, ahead = clock.wall, 0.0
    monkeypatch.setattr(clock, "wall", lambda: wall() + ahead)
    ahead = IDLE_LOOK_SECONDS
    await bench.ticker.tick()
    first = bench.ticker.sighting
    assert first.up
    ahead += IDLE_LOOK_SECONDS - 60
    await bench.ticker.tick()
    assert bench.ticker.sighting is first
    ahead += 60
    await bench.ticker.tick()
    assert bench.ticker.sighting.at > first.at
    assert bench.runner.starts == []


async def test_a_gateway_that_is_down_is_looked_at_by_each_tick_though_there_is_nothing_to_do(
    bench: Bench,
) -> None:
    task = bench.put()
    bench.runner.up = False
    await bench.ticker.tick()
    now = clock.wall()
    bench.store.change(
        task.id, lambda it, attempt: halting.cancel(it, attempt, reason="no", who="ann", now=now), now=now
    )
    down = bench.ticker.sighting
    await bench.ticker.tick()
    assert (bench.ticker.sighting.up, bench.ticker.sighting is down) == (False, False)
    bench.runner.up = True
    await bench.ticker.tick()
    assert bench.ticker.sighting.up


async def test_looks_and_heartbeats_that_called_no_model_are_counted_each_and_together(bench: Bench) -> None:
    await bench.ticker.tick()
    bench.ticker.heartbeat_avoided()
    bench.ticker.heartbeat_avoided()
    ticker = bench.ticker
    assert (ticker.looks_avoided, ticker.heartbeats_avoided, ticker.calls_avoided) == (1, 2, 3)


async def test_an_empty_board_starts_nothing_and_does_not_even_ask_the_gateway(bench: Bench) -> None:
    for _ in range(20):
        await bench.ticker.tick()
    assert bench.runner.starts == []
    assert bench.ticker.sighting.at == 0.0
    assert bench.ticker.calls_avoided == 20


async def test_an_answer_without_an_output_becomes_the_output_and_the_task_is_done(bench: Bench) -> None:
    task = bench.put()
    await bench.ticker.tick()
    await bench.until_started(task)
    bench.runner.says[f"{task.id}.1"] = RunSeen(f"{task.id}.1", RunState.OK, answer="Here it is.")
    await bench.ticker.tick()
    assert bench.status(task) is Status.DONE
    (output,) = bench.store.thread(task.id).outputs
    assert (output.name, output.final) == ("answer.md", True)
    assert bench.store.output_file(output).read_text() == "Here it is."
    assert not bench.tickets.path(f"{task.id}.1").exists()


async def test_a_run_that_leaves_nothing_costs_an_attempt_and_the_next_waits_a_minute(bench: Bench) -> None:
    task = bench.put()
    await bench.ticker.tick()
    await bench.until_started(task)
    bench.runner.says[f"{task.id}.1"] = RunSeen(f"{task.id}.1", RunState.OK)
    await bench.ticker.tick()
    after = bench.store.task(task.id)
    assert (after.status, after.attempt) == (Status.PENDING, 1)
    assert after.not_before is not None
    assert 55 < after.not_before - clock.wall() <= 60
    assert after.waiting_because == "its time has not come yet"


async def test_a_rate_limit_costs_no_attempt(bench: Bench) -> None:
    task = bench.put()
    await bench.ticker.tick()
    await bench.until_started(task)
    error = "HTTP 429: Too many requests"
    bench.runner.says[f"{task.id}.1"] = RunSeen(f"{task.id}.1", RunState.FAILED, error=error)
    await bench.ticker.tick()
    after = bench.store.task(task.id)
    assert (after.status, after.attempt) == (Status.PENDING, 0)


async def test_no_more_runs_at_once_than_allowed_and_one_for_each_agent(bench: Bench) -> None:
    tasks = [bench.put(assignee=agent) for agent in ("ops", "ops", "dev", "law")]
    report = await bench.ticker.tick()
    assert set(report.started) == {tasks[0].id, tasks[2].id}
    reasons = [bench.store.task(task.id).waiting_because for task in tasks]
    assert reasons[1] is not None
    assert "ops" in reasons[1]
    assert reasons[3] == "as many runs are under way as allowed"


async def test_what_is_stopped_is_aborted_first_and_stays_blocked(bench: Bench) -> None:
    task = bench.put()
    await bench.ticker.tick()
    await bench.until_started(task)
    now = clock.wall()
    bench.store.change(task.id, lambda it, attempt: halting.stop(it, attempt, who="ann", now=now), now=now)
    await bench.ticker.tick()
    assert bench.runner.stopped == [f"agent:ops:task-{task.id.lower()}-1"]
    assert bench.status(task) is Status.BLOCKED
    attempt = bench.store.attempt(task.id, 1)
    assert attempt is not None
    assert attempt.run is Run.ENDED


async def test_a_run_that_cannot_be_stopped_keeps_its_agent_from_a_second_one(bench: Bench) -> None:
    task = bench.put()
    await bench.ticker.tick()
    await bench.until_started(task)
    now = clock.wall()
    bench.runner.can_stop = False
    bench.store.change(task.id, lambda it, attempt: halting.stop(it, attempt, who="ann", now=now), now=now)
    bench.store.change(task.id, lambda it, _: halting.answer(it, "go on", who="ann", now=now), now=now)
    await bench.ticker.tick()
    assert bench.status(task) is Status.PENDING
    assert len(bench.runner.starts) == 1
    bench.runner.can_stop = True
    await bench.ticker.tick()
    await until(lambda: len(bench.runner.starts) == 2)
    assert bench.store.task(task.id).epoch == 2


async def test_a_start_that_is_not_proven_is_repeated_under_the_same_key(bench: Bench) -> None:
    bench.runner.result = StartResult(StartState.UNPROVEN, "no answer")
    task = bench.put()
    await bench.ticker.tick()
    await until(lambda: bool(bench.runner.starts))
    bench.runner.result = StartResult(StartState.STARTED)
    await bench.ticker.tick()
    await bench.until_started(task)
    assert {order.run_id for order in bench.runner.starts} == {f"{task.id}.1"}
    assert bench.store.task(task.id).epoch == 1


async def test_a_refused_start_gives_the_attempt_back(bench: Bench) -> None:
    bench.runner.result = StartResult(StartState.REFUSED, "no such agent")
    task = bench.put()
    await bench.ticker.tick()
    await until(lambda: bench.status(task) is Status.PENDING)
    assert bench.store.task(task.id).attempt == 0


async def test_what_is_refused_twice_in_a_row_waits_for_a_person_who_is_told(bench: Bench) -> None:
    bench.runner.result = StartResult(StartState.REFUSED, "no such agent")
    task, now = bench.put(), clock.wall()
    await bench.ticker.tick()
    await until(lambda: bench.status(task) is Status.PENDING)
    bench.store.change(task.id, lambda it, _: Change(replace(it, not_before=None)), now=now)
    await bench.ticker.tick()
    await until(lambda: bench.status(task) is Status.BLOCKED)
    assert bench.store.task(task.id).blocked_reason == "OpenClaw refuses to start it: no such agent"
    assert bench.store.task(task.id).attempt == 0
    assert bench.store.notices_count() == 1


async def test_with_the_gateway_down_nothing_is_started_and_everybody_is_told_why(bench: Bench) -> None:
    bench.runner.up = False
    task = bench.put()
    await bench.ticker.tick()
    assert bench.status(task) is Status.PENDING
    assert bench.store.task(task.id).waiting_because == "OpenClaw's gateway does not answer: down"


async def test_a_dependant_starts_in_the_tick_in_which_its_dependency_is_done(bench: Bench) -> None:
    first = bench.put("first")
    second = bench.put("second", assignee="dev", depends_on=(first.id,))
    await bench.ticker.tick()
    await bench.until_started(first)
    assert bench.store.task(second.id).waiting_because == f"waits for {first.id}"
    bench.runner.says[f"{first.id}.1"] = RunSeen(f"{first.id}.1", RunState.OK, answer="done")
    report = await bench.ticker.tick()
    assert report.started == (second.id,)
    await bench.until_started(second)


async def test_an_ended_run_is_archived_once(bench: Bench) -> None:
    task = bench.put()
    await bench.ticker.tick()
    await bench.until_started(task)
    bench.runner.says[f"{task.id}.1"] = RunSeen(f"{task.id}.1", RunState.OK, answer="done")
    for _ in range(3):
        await bench.ticker.tick()
    await until(lambda: bool(bench.store.snapshot().unarchived) is False)
    assert bench.runner.archived == [f"agent:ops:task-{task.id.lower()}-1"]


async def test_a_run_is_not_archived_again_for_a_tick_that_saw_the_board_before_it_was(bench: Bench) -> None:
    first, second = bench.put(), bench.put(assignee="dev")
    await bench.ticker.tick()
    await bench.until_started(first, second)
    unarchived = bench.store.attempt(first.id, 1)
    assert unarchived is not None
    bench.runner.says[f"{first.id}.1"] = RunSeen(f"{first.id}.1", RunState.OK, answer="done")
    await bench.ticker.tick()
    await until(lambda: not bench.store.snapshot().unarchived)
    bench.archivist.want(unarchived)
    bench.runner.says[f"{second.id}.1"] = RunSeen(f"{second.id}.1", RunState.OK, answer="done")
    await bench.ticker.tick()
    await until(lambda: len(bench.runner.archived) > 1 and not bench.store.snapshot().unarchived)
    assert bench.runner.archived == [
        f"agent:{agent}:task-t-000{n}-1" for agent, n in (("ops", 1), ("dev", 2))
    ]


async def test_the_first_tick_of_a_new_process_starts_what_the_old_one_only_intended(
    bench: Bench,
) -> None:
    """The old one ended between the claim and the ticket: the secret went with it, and is drawn anew."""
    task = bench.put()
    bench.store.claim(task.id, agent="ops", now=clock.wall(), lease_seconds=None)
    await bench.ticker.tick()
    await bench.until_started(task)
    assert [order.run_id for order in bench.runner.starts] == [f"{task.id}.1"]
    assert bench.tickets.path(f"{task.id}.1").exists()
