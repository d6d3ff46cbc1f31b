"""The model and a real board, driven side by side: whatever is done to both, both are the same afterwards."""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from scheduler.blackboard.queries import Claimed, TaskQuery
from scheduler.core import deciding, endings, halting, holding
from scheduler.core.change import Change
from scheduler.core.claims import ClaimToken
from scheduler.core.commands import Explain
from scheduler.core.errors import Refused
from scheduler.core.records import Attempt, Notice, Run, Verdict
from scheduler.core.states import Status
from scheduler.core.task import BlockedBy, Draft, Priority, Source, Task, task_id
from tests.blackboard_model import ModelStore
from tests.integration.postgres import Cluster
from tests.integration.scheduler.boards import HIGH_RISK, AnyStore, opened, sqlite_url
from tests.on_the_board import notices

pytestmark = [pytest.mark.integration, pytest.mark.needs("minutes")]

# Few of everything, and times that meet: what goes wrong goes wrong where two things come together.
AGENTS = ("coder", "writer")
MOST_TASKS = 7
ids = st.integers(1, MOST_TASKS).map(task_id)  # there may be fewer
dependencies = st.lists(st.integers(1, 4).map(task_id), max_size=2).map(tuple)
agents = st.sampled_from(AGENTS)
leases = st.sampled_from([None, 10.0, 20.0])
reviews = st.sampled_from(["accept_nonempty", *(f"agent:{agent}" for agent in AGENTS)])
tools = st.sampled_from([(), (), ("delete_file",), ("browser",)])
words = st.sampled_from(["a reason", "größer 漢字", "", "nul \0", "half \ud83d"])

Verb = Callable[[Task, Attempt | None], Change]


class TwoBoards(RuleBasedStateMachine):
    """What one refuses the other refuses, for the same reason; what one keeps the other keeps."""

    def __init__(self, url: Callable[[Path], str]) -> None:
        super().__init__()
        self.url = url
        self.now = 0.0
        self.tokens: list[ClaimToken] = []
        self.closing = ExitStack()

    @initialize()
    def open(self) -> None:
        directory = Path(tempfile.mkdtemp(prefix="clawpace-boards-"))
        self.closing.callback(shutil.rmtree, directory)
        real = self.closing.enter_context(opened(self.url(directory), directory / "real"))
        self.model = ModelStore(directory / "model", HIGH_RISK)
        self.both: tuple[AnyStore, AnyStore] = (self.model, real)
        for assignee, review in ((None, "agent:coder"), ("writer", "person"), (None, "person")):
            self.make(Draft("a task", assignee=assignee, review=review))

    def teardown(self) -> None:
        with self.closing:
            self.both_tell_the_same_of_all()
            self.whoever_lost_a_claim_has_lost_its_attempt()
            for number in range(1, MOST_TASKS + 1):
                self.both_tell_the_same_of_a_task(task_id(number))

    def do(self, what: Callable[[AnyStore], Any]) -> Any:
        """To both; what came of it, which is a code where it was refused."""
        expected, found = [outcome(what, board) for board in self.both]
        assert found == expected
        return expected

    def make(self, draft: Draft) -> None:
        self.do(lambda board: board.create(draft, who="me", now=self.now))

    def change(self, task: str, verb: Verb, token: ClaimToken | None = None) -> None:
        self.do(lambda board: board.change(task, verb, token=token, now=self.now))

    def claimed(self, claimed: Any) -> None:
        if isinstance(claimed, Claimed):
            self.tokens.append(claimed.token)

    # -- time and cards ---------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([10.0, 10.0, 20.0, 300.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        priority=st.sampled_from(Priority),
        assignee=st.none() | agents,
        depends_on=dependencies,
        review=reviews,
        external_id=st.none() | st.sampled_from(["a", "b"]),
        risk_tools=tools,
        later=st.sampled_from([None, None, 10.0]),
        max_attempts=st.sampled_from([1, 2, 3, 0]),
        review_of=st.none() | ids,
    )
    def create(self, *, later: float | None, **card: Any) -> None:
        not_before = None if later is None else self.now + later
        draft = Draft("a task", source=Source.TODO, not_before=not_before, **card)
        if len(self.model.tasks(TaskQuery(archived=True)).tasks) < MOST_TASKS:
            self.make(draft)

    @rule(
        task=ids,
        field=st.one_of(
            st.tuples(st.just("title"), words),
            st.tuples(st.just("priority"), st.sampled_from(Priority)),
            st.tuples(st.just("assignee"), st.none() | agents),
            st.tuples(st.just("depends_on"), dependencies),
            st.tuples(st.just("review"), reviews),
            st.tuples(st.just("risk_tools"), tools),
            st.tuples(st.just("not_before"), st.sampled_from([None, 30.0, 60.0])),
            st.tuples(st.just("max_attempts"), st.integers(1, 3)),
        ),
    )
    def revise(self, task: str, field: tuple[str, Any]) -> None:
        self.do(lambda board: board.revise(task, dict([field]), who="me", now=self.now))

    # -- claims and what their holders write ------------------------------------------------------

    @rule(task=ids, agent=agents, lease=leases, secret=st.uuids().map(str))
    def claim(self, task: str, agent: str, lease: float | None, secret: str) -> None:
        self.claimed(
            self.do(
                lambda board: board.claim(task, agent=agent, now=self.now, lease_seconds=lease, secret=secret)
            )
        )

    @rule(agent=agents, lease=leases, secret=st.uuids().map(str))
    def claim_next(self, agent: str, lease: float | None, secret: str) -> None:
        self.claimed(
            self.do(
                lambda board: board.claim_next(agent=agent, now=self.now, lease_seconds=lease, secret=secret)
            )
        )

    @rule(data=st.data(), text=words, turn=st.integers(0, 5))
    def write(self, data: st.DataObject, text: str, turn: int) -> None:
        if not self.tokens:
            return
        token = data.draw(st.sampled_from(self.tokens))
        verbs: list[Verb] = [
            partial(holding.heartbeat, turn=turn, note=text or None, who="coder", now=self.now),
            said(holding.comment, text, self.now),
            said(holding.observe, text, self.now),
            partial(holding.release, reason=text, who="coder", now=self.now),
            partial(halting.block, reason=text, who="coder", now=self.now),
            partial(halting.fail, reason=text, who="coder", now=self.now),
        ]
        self.change(token.task, data.draw(st.sampled_from(verbs)), token)

    @rule(data=st.data(), text=words, name=st.sampled_from(["a.md", "b", "../c"]), final=st.booleans())
    def hand_in(self, data: st.DataObject, text: str, name: str, *, final: bool) -> None:
        if not self.tokens:
            return
        token = data.draw(st.sampled_from(self.tokens))
        content = text.encode(errors="replace")

        def handed_in(board: AnyStore) -> Any:
            with board.receiver() as receiver:
                receiver.write(content)
                change, output = board.hand_in(
                    token.task, receiver.finish(), name=name, final=final, now=self.now, token=token
                )
            assert board.output_file(output).read_bytes() == content
            return change, output

        self.do(handed_in)

    # -- what people and the scheduler do ---------------------------------------------------------

    @rule(task=ids, verdict=st.sampled_from(Verdict), by=st.sampled_from(["me", "coder"]))
    def decide(self, task: str, verdict: Verdict, by: str) -> None:
        self.change(task, partial(deciding.decide, verdict=verdict, by=by, reason="", now=self.now))

    @rule(task=ids, what=st.sampled_from(["stop", "cancel", "block", "dependency", "expire"]))
    def halt(self, task: str, what: str) -> None:
        verbs: dict[str, Verb] = {
            "stop": partial(halting.stop, who="me", now=self.now),
            "cancel": partial(halting.cancel, reason="no use", who="me", now=self.now),
            "block": partial(halting.block, reason="why", who="me", now=self.now),
            "dependency": partial(
                halting.block, reason="it failed", who="me", now=self.now, by=BlockedBy.DEPENDENCY
            ),
            "expire": partial(endings.expire, now=self.now),
        }
        self.change(task, verbs[what])

    @rule(task=ids, what=st.sampled_from(["unblock", "retry", "archive", "answer"]), text=words)
    def go_on(self, task: str, what: str, text: str) -> None:
        verbs: dict[str, Callable[[Task], Change]] = {
            "unblock": partial(halting.unblock, who="me", now=self.now),
            "retry": partial(halting.retry, who="me", now=self.now),
            "archive": partial(halting.archive, who="me", now=self.now),
            "answer": partial(halting.answer, text=text, who="me", now=self.now),
        }
        self.change(task, lambda each, _: verbs[what](each))

    @rule(task=ids, epoch=st.integers(1, 3), run=st.sampled_from(Run), tokens=st.integers(0, 2**40))
    def run_changes(self, task: str, epoch: int, run: Run, tokens: int) -> None:
        ended_at = self.now if run is Run.ENDED else None

        def verb(each: Task, attempt: Attempt) -> Change:
            return Change(each, (), replace(attempt, run=run, ended_at=ended_at, tokens=tokens))

        self.do(lambda board: board.change_attempt(task, epoch, verb, now=self.now))

    @rule(task=ids, epoch=st.integers(1, 3))
    def archive_session(self, task: str, epoch: int) -> None:
        self.do(lambda board: board.archived(task, epoch, now=self.now))

    @rule(number=st.integers(1, 7), because=st.sampled_from(["nothing spare", "paused"]))
    def explain(self, number: int, because: str) -> None:
        self.do(lambda board: board.explain([Explain(number, because, self.now + 5)]))

    @rule(cause=st.sampled_from("abc"), text=words)
    def tell(self, cause: str, text: str) -> None:
        self.do(lambda board: board.tell([Notice("coo", cause, text, self.now)]))

    @rule(agent=agents, seconds=st.floats(1, 100))
    def remember(self, agent: str, seconds: float) -> None:
        self.do(lambda board: board.remember_run_seconds(agent, seconds))
        self.do(lambda board: board.set_pause(agent, self.now + seconds, who="me", now=self.now))

    # -- what can be seen -------------------------------------------------------------------------

    @invariant()
    def both_show_the_same(self) -> None:
        self.do(lambda board: board.snapshot())
        self.do(lambda board: board.tasks(TaskQuery(archived=True)))
        self.do(lambda board: board.tasks(TaskQuery(claimable_at=self.now)))

    @rule(task=ids)
    def both_tell_the_same_of_a_task(self, task: str) -> None:
        self.do(lambda board: board.thread(task))
        self.do(lambda board: board.task(task))
        self.do(lambda board: board.outputs(task))

    @rule()
    def both_tell_the_same_of_all(self) -> None:
        self.do(lambda board: board.counts())
        self.do(lambda board: [event for _, event in board.events_after(0, limit=10_000)])
        self.do(notices)
        self.do(lambda board: board.notices_count())

    @invariant()
    def whoever_holds_a_task_holds_it_alone(self) -> None:
        for task in self.both[1].tasks(TaskQuery(archived=True)).tasks:
            assert (task.claimant is not None) == (task.held or task.status is Status.REVIEW)

    def whoever_lost_a_claim_has_lost_its_attempt(self) -> None:
        for task in self.both[1].tasks(TaskQuery(archived=True)).tasks:
            for each in self.both[1].thread(task.id).attempts:
                assert each.epoch == task.epoch or each.ended_at is not None or each.run is not Run.NONE


def outcome(what: Callable[[AnyStore], Any], board: AnyStore) -> Any:
    try:
        return what(board)
    except Refused as refused:
        return refused.code


def said(say: Callable[..., Change], text: str, now: float) -> Verb:
    return lambda task, held: say(task, held, text, author="coder", held=True, now=now)


def test_sqlite_does_what_the_model_does() -> None:
    class WithSqlite(TwoBoards):
        def __init__(self) -> None:
            super().__init__(sqlite_url)

    run_state_machine_as_test(WithSqlite, settings=settings(max_examples=30, stateful_step_count=50))


@pytest.mark.needs("postgresql")
def test_postgresql_does_what_the_model_does(postgres_cluster: Cluster) -> None:
    class WithPostgresql(TwoBoards):
        def __init__(self) -> None:
            super().__init__(lambda _: postgres_cluster.fresh_database())

    few = settings(max_examples=8, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow])
    run_state_machine_as_test(WithPostgresql, settings=few)
