"""A board in memory, a gateway that is pretended, and a tick as the daemon makes it.

The rule: it carries out a plan with the same verbs as the daemon, one command after the other, and looks at
each start with eyes of its own: what the plan knows comes from a snapshot, what is checked here from the
tasks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any, Final

from scheduler.core import cards, deciding, holding, running, watching
from scheduler.core import commands as c
from scheduler.core.capacity import Capacity
from scheduler.core.change import Change
from scheduler.core.claims import hash_of
from scheduler.core.errors import Refused
from scheduler.core.plan import plan
from scheduler.core.records import Attempt, Event, Output, Run
from scheduler.core.reviews import review_draft, review_verdict
from scheduler.core.rules import TALKING_FOR, Rules
from scheduler.core.sighting import RunSeen, RunState, Sighting
from scheduler.core.snapshot import EVERYBODY, AgentRecord, BoardSnapshot, Dependency, Waiting
from scheduler.core.states import CLOSED, Status
from scheduler.core.task import Approval, BlockedBy, Draft, Task, number_of
from scheduler.core.world import World
from tests.core.scheduler.boards import HIGH_RISK, NOW, SECRET

ROUNDS: Final = 20
"""As the daemon: what takes more is not settled."""

Verb = Callable[[Task, Attempt | None], Change]


@dataclass(slots=True)
class Gateway:
    """What really runs. Owner of its state: the simulation."""

    up: bool = True
    runs: dict[str, RunSeen] = field(default_factory=dict)
    """by run id, whatever was ever begun"""
    unclear: set[str] = field(default_factory=set)
    """it cannot say how these stand"""
    stubborn: set[str] = field(default_factory=set)
    """these cannot be stopped"""
    talking: dict[str, float] = field(default_factory=dict)

    def look(self, attempts: Sequence[Attempt], now: float) -> Sighting:
        if not self.up:
            return Sighting(up=False, error="away", at=now)
        runs = {each.run_id: self._one(each.run_id) for each in attempts}
        return Sighting(up=True, at=now, runs=runs, busy_agents=dict(self.talking))

    def _one(self, run_id: str) -> RunSeen:
        if run_id in self.unclear:
            return RunSeen(run_id, RunState.UNKNOWN)
        return self.runs.get(run_id, RunSeen(run_id, RunState.ABSENT))

    @property
    def alive(self) -> list[str]:
        return [run_id for run_id, seen in self.runs.items() if seen.state is RunState.RUNNING]


@dataclass(slots=True)
class Simulation:
    """Owner of the board, the gateway and the time."""

    rules: Rules = field(default_factory=Rules)
    now: float = NOW
    capacity: Capacity = field(default_factory=lambda: Capacity.unknown("nobody has asked"))
    gateway: Gateway = field(default_factory=Gateway)
    sighting: Sighting = field(default_factory=lambda: Sighting(up=False))
    tasks: dict[int, Task] = field(default_factory=dict)
    attempts: dict[tuple[str, int], Attempt] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    """what was handed in, by path"""
    agents: dict[str, AgentRecord] = field(default_factory=dict)
    waiting_agents: frozenset[str] = frozenset()
    findings: tuple[str, ...] = ()
    """of the next check"""
    events: list[Event] = field(default_factory=list)
    alarms: tuple[str, ...] = ()
    carried_out: list[c.Command] = field(default_factory=list)
    """in the last tick"""
    _numbers: Any = field(default_factory=lambda: count(1))

    # -- the board -----------------------------------------------------------------------------------------

    def create(self, draft: Draft) -> Task:
        return self._save(
            cards.create(draft, next(self._numbers), high_risk=HIGH_RISK, who="ann", now=self.now)
        )

    def change(self, task: str, verb: Verb, epoch: int | None = None) -> bool:
        """Whether it was not refused; `epoch`: of the attempt, if it is not the present one."""
        known = self.tasks[number_of(task)]
        attempt = self.attempts.get((task, known.epoch if epoch is None else epoch))
        try:
            self._save(verb(known, attempt))
        except Refused:
            return False
        return True

    def claim(self, task: str, agent: str, lease_seconds: float | None) -> bool:
        known = self.tasks[number_of(task)]
        verb = partial(
            holding.claim,
            known,
            [each.id for each in self.unmet(known)],
            agent=agent,
            claim_hash=hash_of(SECRET),
            lease_seconds=lease_seconds,
            now=self.now,
            previous=self.attempts.get((task, known.epoch)),
        )
        return self.change(task, lambda *_: verb())

    def hand_in(self, task: str, text: str) -> bool:
        known = self.tasks[number_of(task)]
        path = f"{task}/{known.epoch}/{len(self.outputs)}"
        output = Output(
            task, known.epoch, "answer.md", known.claimant or "", self.now, len(text), "", path, True
        )
        self.texts[path] = text
        return self.change(
            task, lambda it, attempt: holding.hand_in(it, attempt, output, who=output.author, now=self.now)
        )

    def _save(self, change: Change) -> Task:
        self.tasks[change.task.number] = change.task
        for attempt in (change.ended, change.attempt):
            if attempt is not None:
                self.attempts[attempt.task, attempt.epoch] = attempt
        self.events += [each for each in change.records if isinstance(each, Event)]
        self.outputs += [each for each in change.records if isinstance(each, Output)]
        return change.task

    def unmet(self, task: Task) -> tuple[Dependency, ...]:
        found = (self.tasks[number_of(each)] for each in task.depends_on)
        return tuple(
            Dependency(it.number, it.status, it.assignee) for it in found if it.status is not Status.DONE
        )

    @property
    def live(self) -> list[Attempt]:
        return [each for each in self.attempts.values() if each.live]

    def waiting(self) -> list[Waiting]:
        rows = [
            Waiting(
                number=it.number,
                status=it.status,
                priority=it.priority,
                assignee=it.assignee,
                pending_since=it.pending_since or it.created_at,
                not_before=it.not_before,
                has_dependencies=bool(it.depends_on),
                dependencies_met=it.dependencies_met,
                dependency_notified=it.dependency_notified,
                waiting_because=it.waiting_because,
                expected_start_at=it.expected_start_at,
            )
            for it in self.tasks.values()
            if it.archived_at is None
            and (it.status is Status.PENDING or it.blocked_by is BlockedBy.DEPENDENCY)
        ]
        return sorted(rows, key=lambda row: (row.priority, row.pending_since, row.number))

    def snapshot(self) -> BoardSnapshot:
        held = [it for it in self.tasks.values() if it.held or it.status is Status.REVIEW]
        newest = {(it.id, it.epoch) for it in held}
        judged = {it.number for it in held if it.status is Status.REVIEW}
        reviews = {number_of(it.review_of): it for it in self.tasks.values() if it.review_of is not None}
        return BoardSnapshot(
            held=tuple(held),
            waiting=tuple(self.waiting()),
            unmet={it.number: found for it in self.tasks.values() if (found := self.unmet(it))},
            attempts=tuple(each for key, each in self.attempts.items() if each.live or key in newest),
            reviews={number: review for number, review in reviews.items() if number in judged},
            agents=dict(self.agents),
            unarchived=tuple(
                each for each in self.attempts.values() if each.run is Run.ENDED and each.archived_at is None
            )[:20],
        )

    # -- a tick --------------------------------------------------------------------------------------------

    def world(self) -> World:
        return World(
            board=self.snapshot(),
            sighting=self.sighting,
            capacity=self.capacity,
            rules=self.rules,
            next_tick_at=self.now + 60,
            waiting_agents=self.waiting_agents,
        )

    def tick(self, *, fresh: bool = True) -> None:
        """Plan and act until there is nothing left to do at this moment."""
        if fresh or self.now - self.sighting.at >= 10:
            self.sighting = self.gateway.look(self.live, self.now)
        tried: set[c.Command] = set()
        self.carried_out = []
        for _ in range(ROUNDS):
            planned = plan(self.world(), self.now, tried)
            self.alarms = planned.alarms
            commands = [each for each in planned.commands if each not in tried]
            if not commands:
                return
            tried.update(commands)
            for command in commands:
                self.carry_out(command)
        raise AssertionError(f"still not settled: {commands}")

    def carry_out(self, command: c.Command) -> None:
        self.carried_out.append(command)
        match command:
            case c.Start():
                self._start(command)
            case c.ProveStart(attempt):
                self._attempt(attempt, partial(running.started, now=self.now))
            case c.NeverStarted(attempt):
                self._attempt(attempt, partial(running.never_started, why="unknown", now=self.now))
            case c.EndRun(attempt, seen):
                self._end(attempt, seen)
            case c.StopRun(attempt, then, why):
                if attempt.run_id not in self.gateway.stubborn:
                    self.gateway.runs[attempt.run_id] = RunSeen(attempt.run_id, RunState.ABORTED)
                    self._attempt(attempt, partial(running.run_stopped, then=then, why=why, now=self.now))
            case c.CheckOutput() | c.AskReviewer() | c.ApplyReview():
                self._gate(command)
            case c.Explain(number, because, expected):
                self.tasks[number] = replace(
                    self.tasks[number], waiting_because=because, expected_start_at=expected
                )
            case c.ArchiveSession(attempt):
                self.attempts[attempt.task, attempt.epoch] = replace(attempt, archived_at=self.now)
            case _:
                self.change(command.task, partial(watching.VERBS[type(command)], asked=command, now=self.now))

    def _gate(self, command: c.CheckOutput | c.AskReviewer | c.ApplyReview) -> None:
        match command:
            case c.CheckOutput(task, epoch):
                verb = partial(deciding.judge, findings=self.findings, epoch=epoch, now=self.now)
                self.change(task, verb)
            case c.AskReviewer(task, _, judge):
                self.create(review_draft(self.tasks[number_of(task)], judge, ["report.md"]))
            case c.ApplyReview(task, _, review):
                final = [each for each in self.outputs if each.task == review and each.final]
                verdict, reason = review_verdict(self.texts[final[-1].path] if final else "")
                verb = partial(
                    deciding.decide, verdict=verdict, by="judge", reason=reason, spends=True, now=self.now
                )
                self.change(task, verb)

    def _attempt(self, attempt: Attempt, verb: Callable[..., Change]) -> None:
        self.change(attempt.task, verb, attempt.epoch)

    def _end(self, attempt: Attempt, seen: RunSeen) -> None:
        assert attempt.run_id not in self.gateway.unclear
        task = self.tasks[number_of(attempt.task)]
        if task.held and task.epoch == attempt.epoch and seen.state is RunState.OK and seen.answer:
            assert self.hand_in(task.id, seen.answer)
        self._attempt(attempt, partial(running.run_ended, seen=seen, now=self.now))

    def _start(self, start: c.Start) -> None:
        """Everything that a start must not be."""
        task = self.tasks[number_of(start.task)]
        assert task.status is Status.PENDING
        assert task.assignee == start.agent
        assert not self.unmet(task)
        assert task.not_before is None or task.not_before <= self.now
        assert task.approval is not Approval.REQUIRED
        assert not set(task.risk_tools) & set(HIGH_RISK) or task.approval is Approval.GRANTED
        assert start.agent not in {each.agent for each in self.live}
        assert len(self.live) < self.rules.max_concurrent
        for name in (start.agent, EVERYBODY):
            paused = self.agents.get(name, AgentRecord(name)).paused_until
            assert paused is None or paused <= self.now
        assert self.gateway.talking.get(start.agent, 0.0) + TALKING_FOR <= self.now
        assert self.sighting.up
        if self.capacity.known:
            assert self.capacity.blocked is None
            assert (self.capacity.quiet_until or 0.0) <= self.now
            assert self.capacity.spare_rpm >= 1
        assert self.claim(start.task, start.agent, None)

    # -- between ticks -------------------------------------------------------------------------------------

    def begin(self, *, proven: bool, reaches: bool = True) -> None:
        """The starter's work: each intended run is asked for; the gateway begins one once under its key."""
        for attempt in self.live:
            task = self.tasks[number_of(attempt.task)]
            wanted = task.held and task.epoch == attempt.epoch
            if attempt.run is not Run.INTENDED or not wanted or not self.gateway.up:
                continue
            if reaches:
                self.gateway.runs.setdefault(attempt.run_id, RunSeen(attempt.run_id, RunState.RUNNING))
            if reaches and proven:
                self._attempt(attempt, partial(running.started, now=self.now))

    def over(self) -> bool:
        return all(it.status in CLOSED for it in self.tasks.values())
