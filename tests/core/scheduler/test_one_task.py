"""One task under every verb there is, in any order, at any time: what must hold whatever happens."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from scheduler.core import cards, deciding, endings, halting, holding, running, watching
from scheduler.core import commands as c
from scheduler.core.change import FRESH, Change
from scheduler.core.claims import ClaimToken, holder
from scheduler.core.errors import Refused
from scheduler.core.records import Attempt, Event, Record, Run, Verdict
from scheduler.core.sighting import RunSeen, RunState
from scheduler.core.states import CLOSED, TABLE, Status
from scheduler.core.task import Approval, BlockedBy, Task
from tests.core.scheduler.boards import HIGH_RISK, NOW, a_draft, an_output

AGENTS = st.sampled_from(["coder", "tester"])
TOOLS = st.lists(st.sampled_from(["read", "delete_file", "execute_code"]), unique=True).map(tuple)
STEPS = {(status, target) for status, row in TABLE.items() for target in row.values()}
NOW_AND_THEN = st.sampled_from([0.0, 1.0, 59.0, 61.0, 400.0, 1000.0, 1900.0])
VERDICTS = [Verdict.ACCEPT, Verdict.REWORK, Verdict.REWORK, Verdict.APPROVE, Verdict.APPROVE, Verdict.REJECT]
GONE = [RunState.OK, RunState.FAILED, RunState.ABORTED, RunState.ABSENT]


class OneTask(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.task: Task
        self.attempts: dict[int, Attempt] = {}
        self.tokens: list[ClaimToken] = []
        self.unmet: tuple[str, ...] = ()
        self.allowed: set[str] = set()  # the high-risk tools that somebody has approved

    @property
    def attempt(self) -> Attempt | None:
        return self.attempts.get(self.task.epoch)

    def ask(self, verb: Callable[[], Change]) -> bool:
        """What the board does with a verb; whether it was not refused."""
        try:
            change = verb()
        except Refused:
            return False
        before, self.task = self.task, change.task
        assert self.task.epoch >= before.epoch
        self.tell_truly(before, change.records)
        for attempt in (change.ended, change.attempt):
            if attempt is not None:
                self.attempts[attempt.epoch] = attempt
        return True

    def tell_truly(self, before: Task, records: tuple[Record, ...]) -> None:
        """Step by step the events lead from the state before to the state after, and only along the table."""
        status = before.status
        for event in records:
            if not isinstance(event, Event):
                continue
            assert event.from_status is status
            assert event.task == self.task.id
            status = event.to_status
            waits = self.task.blocked_by is BlockedBy.APPROVAL
            if status is event.from_status or (event.from_status, status) in STEPS:
                continue
            assert waits
            assert (event.from_status, Status.PENDING) in STEPS
        assert status is self.task.status

    # -- cards ---------------------------------------------------------------------------------------------

    @initialize(
        tools=TOOLS, attempts=st.integers(1, 3), review=st.sampled_from(["accept_nonempty", "agent:tester"])
    )
    def create(self, tools: tuple[str, ...], attempts: int, review: str) -> None:
        draft = a_draft(risk_tools=tools, max_attempts=attempts, review=review, creator="ann")
        self.task = cards.create(draft, 1, high_risk=HIGH_RISK, who="ann", now=self.now).task

    @rule(
        fields=st.sampled_from(
            [
                {"title": "Other", "expects": ("json",)},
                {"max_attempts": 1},
                {"max_attempts": 4},
                {"risk_tools": ()},
                {"risk_tools": ("read", "delete_file")},
                {"risk_tools": ("delete_file", "execute_code")},
                {"assignee": None},
                {"assignee": "coder"},
                {"review": "accept_nonempty"},
                {"review": "agent:tester"},
                {"review": "agent:coder"},
                {"not_before": NOW + 900},
                {"depends_on": ("T-0002",)},
            ]
        )
    )
    def set_fields(self, fields: dict[str, Any]) -> None:
        before = set(self.task.risk_tools)
        verb = cards.revise
        if self.ask(lambda: verb(self.task, fields, high_risk=HIGH_RISK, who="ann", now=self.now)):
            if set(self.task.risk_tools) - before:
                self.allowed.clear()
            self.allowed &= set(self.task.risk_tools)

    @rule(unmet=st.sampled_from([(), ("T-0002",)]))
    def dependency(self, unmet: tuple[str, ...]) -> None:
        self.unmet = unmet

    @rule(seconds=NOW_AND_THEN)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    # -- holders -------------------------------------------------------------------------------------------

    @rule(agent=AGENTS, lease=st.sampled_from([None, None, 60.0, 1800.0]))
    def claim(self, agent: str, lease: float | None) -> None:
        token = ClaimToken(self.task.id, self.task.epoch + 1, f"secret-{self.task.epoch + 1:09d}")
        ready = self.task.not_before is None or self.task.not_before <= self.now
        if self.ask(
            lambda: holding.claim(
                self.task,
                self.unmet,
                agent=agent,
                claim_hash=token.hash,
                lease_seconds=lease,
                now=self.now,
                previous=self.attempt,
            )
        ):
            assert ready
            assert not self.unmet
            assert self.task.assignee in {None, agent}
            assert self.task.review != f"agent:{agent}"
            self.tokens.append(token)

    @rule(by_hand=st.booleans())
    def begin_again(self, by_hand: bool) -> None:
        """Whatever it waits for happens, and its agent takes it."""
        self.dependency(())
        if self.task.status is Status.FAILED:
            self.person_says("retry")
        if self.task.status is Status.BLOCKED:
            self.watch(c.FreeDependant("T-0001"), 0)
            self.person_says("answer")
            self.decide(Verdict.APPROVE, "bob", False)
        self.now = max(self.now, self.task.not_before or self.now)
        self.claim(self.task.assignee or "coder", 1800.0 if by_hand else None)

    def as_holder(self, verb: Callable[[str], Change], pick: int) -> None:
        """With any token that ever was; what the rules of the fence let through is what the newest opens."""
        if not self.tokens:
            return
        token = self.tokens[pick % len(self.tokens)]

        def fenced() -> Change:
            who = holder(self.task, token, self.now)
            assert token is self.tokens[-1]
            return verb(who)

        self.ask(fenced)

    @rule(
        pick=st.sampled_from([-1, -1, -2, -3]),
        turn=st.none() | st.integers(0, 120),
        note=st.none() | st.just("so far"),
    )
    def heartbeat(self, pick: int, turn: int | None, note: str | None) -> None:
        waiting = None if turn else "the build"
        self.as_holder(
            lambda who: holding.heartbeat(
                self.task, self.attempt, turn=turn, note=note, waiting_for=waiting, who=who, now=self.now
            ),
            pick,
        )

    @rule(pick=st.sampled_from([-1, -1, -2, -3]), final=st.booleans())
    def hand_in(self, pick: int, final: bool) -> None:
        output = an_output(self.task, final=final)
        self.as_holder(
            lambda who: holding.hand_in(self.task, self.attempt, output, who=who, now=self.now), pick
        )

    @rule(
        pick=st.sampled_from([-1, -1, -2, -3]),
        what=st.sampled_from(["comment", "comment", "comment", "release", "block", "fail"]),
    )
    def holder_says(self, pick: int, what: str) -> None:
        def verb(who: str) -> Change:
            match what:
                case "release":
                    return holding.release(self.task, self.attempt, reason="", who=who, now=self.now)
                case "comment":
                    return holding.comment(
                        self.task, self.attempt, "hm", author=who, held=self.task.held, now=self.now
                    )
            halt = halting.block if what == "block" else halting.fail
            return halt(self.task, self.attempt, reason="cannot", who=who, now=self.now)

        self.as_holder(verb, pick)

    # -- people --------------------------------------------------------------------------------------------

    @rule(verdict=st.sampled_from(VERDICTS), by=st.sampled_from(["coder", "bob"]), spends=st.booleans())
    def decide(self, verdict: Verdict, by: str, spends: bool) -> None:
        assignee, tools = self.task.assignee, set(self.task.risk_tools)
        done = self.ask(
            lambda: deciding.decide(
                self.task, self.attempt, verdict, by=by, reason="so", spends=spends, now=self.now
            )
        )
        if done and verdict is Verdict.APPROVE:
            assert by != assignee
            self.allowed |= tools

    @rule(
        what=st.sampled_from(["answer", "answer", "retry", "retry", "archive", "stop", "cancel", "release"])
    )
    def person_says(self, what: str) -> None:
        task, attempt, now = self.task, self.attempt, self.now
        match what:
            case "answer":
                self.ask(lambda: halting.answer(task, "blue", who="ann", now=now))
            case "retry":
                self.ask(lambda: halting.retry(task, who="ann", now=now))
            case "archive":
                self.ask(lambda: halting.archive(task, who="ann", now=now))
            case "stop":
                self.ask(lambda: halting.stop(task, attempt, who="ann", now=now))
            case "release":
                self.ask(lambda: holding.release(task, attempt, reason="", who="ann", now=now))
            case _:
                self.ask(lambda: halting.cancel(task, attempt, reason="so", who="ann", now=now))

    # -- the daemon ----------------------------------------------------------------------------------------

    @rule(
        asked=st.sampled_from(
            [
                c.Excuse("T-0001", 0, 60),
                c.Suspect("T-0001", 0, 10, ("coo",)),
                c.WarnTurns("T-0001", 0, 80, 100, ("coo",)),
                c.CountTurns("T-0001", 0, 50),
                c.Expire("T-0001", 0),
                c.TooManyTurns("T-0001", 0, "100 of 100", ("coo",)),
                c.BlockDependant("T-0001", "T-0002"),
                c.FreeDependant("T-0001"),
                c.BecameClaimable("T-0001"),
                c.TellDependency("T-0001", "T-0002", "coder", 7200),
            ]
        ),
        back=st.integers(0, 1),
    )
    def watch(self, asked: Any, back: int) -> None:
        epoch = self.task.epoch - back
        command = replace(asked, epoch=epoch) if hasattr(asked, "epoch") else asked
        before = self.task
        verb: Callable[..., Change] = watching.VERBS[type(asked)]
        if self.ask(lambda: verb(self.task, self.attempt, asked=command, now=self.now)):
            assert not hasattr(asked, "epoch") or (epoch == before.epoch and before.held)

    @rule()
    def expire(self) -> None:
        self.ask(lambda: endings.expire(self.task, self.attempt, now=self.now))

    @rule(
        findings=st.lists(st.sampled_from(["no file", "no JSON"]), unique=True).map(tuple),
        back=st.integers(0, 1),
    )
    def judge(self, findings: tuple[str, ...], back: int) -> None:
        epoch = self.task.epoch - back
        self.ask(lambda: deciding.judge(self.task, self.attempt, findings, epoch=epoch, now=self.now))

    @rule(
        lot=st.integers(0, 11),
        what=st.sampled_from(["started", "started", "never", "refused", "ended", "stopped"]),
        state=st.sampled_from(GONE),
        error=st.sampled_from(["", "HTTP 429"]),
        then=st.sampled_from(c.Then),
    )
    def run_goes_on(self, lot: int, what: str, state: RunState, error: str, then: c.Then) -> None:
        """Of any epoch: runs outlive their claims."""
        runs = [each for each in self.attempts.values() if each.run is not Run.NONE]
        if not runs:
            return
        attempt = runs[-1 - lot % min(3, len(runs))]
        task, now = self.task, self.now
        match what:
            case "started":
                self.ask(lambda: running.started(task, attempt, now=now))
            case "never":
                self.ask(lambda: running.never_started(task, attempt, why="refused", now=now))
            case "refused":
                self.ask(lambda: running.refused(task, attempt, why="no such agent", now=now))
            case "stopped":
                self.ask(lambda: running.run_stopped(task, attempt, then, why="too long", now=now))
            case _:
                look = RunSeen(attempt.run_id, state, error=error)
                self.ask(lambda: running.run_ended(task, attempt, look, now=now))
        if attempt.epoch != task.epoch or not task.held:
            assert self.task == task

    # -- what must hold ------------------------------------------------------------------------------------

    @invariant()
    def a_waiting_task_begins_with_nothing(self) -> None:
        if self.task.status is Status.PENDING:
            assert {name: getattr(self.task, name) for name in FRESH} == dict(FRESH)
            assert self.task.pending_since is not None
            assert self.task.archived_at is None

    @invariant()
    def attempts_are_never_more_than_allowed(self) -> None:
        if self.task.status is Status.PENDING:
            assert 0 <= self.task.attempt < self.task.max_attempts
        elif self.task.status is not Status.FAILED:
            assert 0 <= self.task.attempt <= self.task.max_attempts

    @invariant()
    def a_held_task_has_a_holder_and_something_that_ends_it(self) -> None:
        """A lease, or a run that the gateway is asked about: else nobody would ever let it go."""
        if self.task.held or self.task.status is Status.REVIEW:
            assert self.task.claimant
            assert self.task.claim_hash
        else:
            assert self.task.claimant is None
        if self.task.held:
            attempt = self.attempts[self.task.epoch]
            by_hand = attempt.run is Run.NONE and attempt.ended_at is None
            assert by_hand if self.task.lease_until is not None else attempt.live

    @invariant()
    def an_attempt_by_hand_is_over_with_its_claim(self) -> None:
        for epoch, attempt in self.attempts.items():
            if attempt.run is Run.NONE and not (self.task.held or self.task.status is Status.REVIEW):
                assert attempt.ended_at is not None
            if epoch < self.task.epoch and attempt.run is Run.NONE:
                assert attempt.ended_at is not None

    @invariant()
    def only_the_newest_token_opens_anything(self) -> None:
        for token in self.tokens:
            try:
                holder(self.task, token, self.now)
            except Refused:
                continue
            assert token is self.tokens[-1]
            assert token.epoch == self.task.epoch

    @invariant()
    def no_high_risk_tool_is_used_unasked(self) -> None:
        risky = set(self.task.risk_tools) & set(HIGH_RISK)
        if self.task.held or self.task.status is Status.PENDING:
            assert risky <= self.allowed
            assert self.task.approval is not Approval.REQUIRED
        if self.task.blocked_by is BlockedBy.APPROVAL:
            assert risky

    @invariant()
    def what_is_blocked_says_why_and_nothing_else_does(self) -> None:
        if self.task.status is Status.BLOCKED:
            assert self.task.blocked_by
            assert self.task.blocked_reason
        else:
            assert self.task.blocked_by is None
        assert self.task.archived_at is None or self.task.status in CLOSED


TestOneTask = OneTask.TestCase
TestOneTask.settings = settings(stateful_step_count=40)
