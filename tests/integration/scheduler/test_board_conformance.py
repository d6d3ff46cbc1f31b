"""What every board does alike: the model in memory, SQLite, PostgreSQL."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scheduler.audit.record import AuditRecord
from scheduler.blackboard.queries import Claimed, TaskQuery
from scheduler.blackboard.tables import counters, metadata
from scheduler.core import deciding, endings, halting, holding
from scheduler.core.change import Change
from scheduler.core.claims import ClaimToken, hash_of
from scheduler.core.commands import Explain
from scheduler.core.errors import Code, Refused
from scheduler.core.records import Attempt, Notice, Output, Run, Verdict
from scheduler.core.snapshot import AgentRecord, Dependency
from scheduler.core.states import Status
from scheduler.core.task import Approval, BlockedBy, Draft, Priority, Source, Task
from tests.blackboard_model import ModelStore
from tests.integration.postgres import Cluster
from tests.integration.scheduler.boards import HIGH_RISK, AnyStore, opened, sqlite_url
from tests.on_the_board import notices, tell, unsent

pytestmark = pytest.mark.integration

SECRET = "a-secret-that-is-long-enough"
LEASE = 60.0


@pytest.fixture(params=["model", "sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyStore]:
    if request.param == "model":
        yield ModelStore(tmp_path / "artifacts", HIGH_RISK)
        return
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("emptied_url")
    with opened(url, tmp_path) as store:
        yield store


@pytest.fixture(scope="module")
def kept_url(postgres_cluster: Cluster) -> Iterator[str]:
    """One for all these tests: to create a database takes longer than any of them."""
    url = postgres_cluster.fresh_database()
    yield url
    postgres_cluster.drop_database(url)


@pytest.fixture
def emptied_url(kept_url: str) -> str:
    with psycopg.connect(kept_url) as connection:
        if connection.execute("SELECT to_regclass('tasks')").fetchone() != (None,):
            names = ", ".join(table.name for table in metadata.sorted_tables if table is not counters)
            connection.execute(f"TRUNCATE {names} RESTART IDENTITY".encode())
            connection.execute("UPDATE counters SET value = 0")
    return kept_url


def make(board: AnyStore, title: str = "a task", *, now: float = 1.0, **card: Any) -> Task:
    return board.create(Draft(title, **card), who="me", now=now)


def take(board: AnyStore, task: Task, agent: str = "coder", *, now: float = 10.0, **more: Any) -> Claimed:
    return board.claim(task.id, agent=agent, now=now, lease_seconds=more.pop("lease_seconds", LEASE), **more)


def hand_in(
    board: AnyStore, claimed: Claimed, text: str = "done", *, name: str = "report.md", now: float = 11.0
) -> Output:
    with board.receiver() as receiver:
        receiver.write(text.encode())
        _, output = board.hand_in(
            claimed.task.id, receiver.finish(), name=name, final=True, now=now, token=claimed.token
        )
    return output


def finish(board: AnyStore, task: Task, *, now: float = 12.0) -> None:
    hand_in(board, take(board, task, now=now), now=now)
    board.change(task.id, partial(deciding.accept, who="me", now=now), now=now)


def refuses(code: Code) -> AbstractContextManager[pytest.ExceptionInfo[Refused]]:
    return pytest.raises(Refused, check=lambda refused: refused.code is code)


def names(events: Any) -> list[str]:
    return [event.what for event in events]


def fail(board: AnyStore, task: Task, *, now: float = 20.0) -> None:
    board.change(
        task.id, lambda each, held: halting.fail(each, held, reason="no", who="me", now=now), now=now
    )


# -- cards ------------------------------------------------------------------------------------------------


def test_a_task_reads_back_as_it_was_made(board: AnyStore) -> None:
    first = make(board)
    made = board.create(
        Draft(
            "Größe \x1b[31m<b>& 漢字",
            description="many\nlines\r\n",
            priority=Priority.URGENT,
            creator="coo",
            assignee="coder",
            depends_on=(first.id,),
            source=Source.MULTICA,
            external_id="issue-1",
            risk_tools=("browser",),
            expects=("nonempty", "file:report.md"),
            review="agent:critic",
            review_of=first.id,
            max_attempts=7,
            max_turns=30,
            not_before=5.25,
        ),
        who="coo",
        now=2.5,
    )
    assert board.task(made.id) == made
    assert made.depends_on == (first.id,)
    assert (made.number, made.id) == (2, "T-0002")
    assert {type(getattr(board.task(made.id), field.name)) for field in fields(Task)} == {
        type(getattr(made, field.name)) for field in fields(Task)
    }


def test_numbers_have_no_gaps_where_a_card_was_refused(board: AnyStore) -> None:
    make(board)
    for wrong in (Draft(" "), Draft("x", depends_on=("T-0099",)), Draft("x", review="nobody")):
        with pytest.raises(Refused):
            board.create(wrong, who="me", now=1.0)
    assert make(board).id == "T-0002"
    assert names(event for _, event in board.events_after(0)) == ["created", "created"]


def test_an_unknown_id_is_not_found_whatever_is_asked(board: AnyStore) -> None:
    make(board)
    for unknown in ["T-0099", "T-1", "42", "", "T-00001", "../etc", "T-999999999999999"]:
        for question in questions_about(board, unknown):
            with refuses(Code.NOT_FOUND):
                question()


def questions_about(board: AnyStore, unknown: str) -> list[Callable[[], object]]:
    return [
        lambda: board.task(unknown),
        lambda: board.thread(unknown),
        lambda: board.revise(unknown, {"title": "x"}, who="me", now=1.0),
        lambda: board.claim(unknown, agent="coder", now=1.0, lease_seconds=1.0),
        lambda: board.change(unknown, lambda task, _: Change(task), now=1.0),
        lambda: board.change_attempt(unknown, 1, lambda task, _: Change(task), now=1.0),
        lambda: make(board, depends_on=(unknown,)),
        lambda: board.revise("T-0001", {"depends_on": (unknown,)}, who="me", now=1.0),
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "nothing \0 here"),
        ("description", "half a \ud83d surrogate"),
        ("creator", "\0"),
        ("risk_tools", ("\ud800",)),
        ("max_turns", 2**63),
        ("max_attempts", 10**30),
    ],
)
def test_what_no_database_keeps_is_invalid(board: AnyStore, field: str, value: Any) -> None:
    with refuses(Code.INVALID):
        make(board, **{"title": "a task", field: value})
    made = make(board)
    with refuses(Code.INVALID):
        board.change(made.id, lambda task, _: Change(replace(task, **{field: value})), now=1.0)
    assert board.task(made.id) == made


def test_what_a_source_has_brought_before_is_refused(board: AnyStore) -> None:
    make(board, source=Source.TODO, external_id="a.md:1")
    make(board, source=Source.WORKBOARD, external_id="a.md:1")
    make(board, source=Source.TODO)
    make(board, source=Source.TODO)
    with refuses(Code.INVALID):
        make(board, source=Source.TODO, external_id="a.md:1")
    assert board.counts()[Status.PENDING] == 4


def test_set_changes_what_it_names_and_nothing_else(board: AnyStore) -> None:
    made = make(board, description="as it was")
    revised = board.revise(made.id, {"title": "new", "priority": Priority.LOW}, who="coo", now=3.0)
    assert board.task(made.id) == revised
    assert revised == replace(made, title="new", priority=Priority.LOW, updated_at=3.0)
    assert board.thread(made.id).events[-1].details == {"fields": ["priority", "title"]}
    with refuses(Code.INVALID):
        board.revise(made.id, {"number": 7}, who="coo", now=3.0)
    with refuses(Code.INVALID):
        board.revise(made.id, {"title": ""}, who="coo", now=3.0)
    assert board.task(made.id) == revised


def test_what_names_a_high_risk_tool_waits_for_somebody(board: AnyStore) -> None:
    made = make(board, assignee="coder", risk_tools=("delete_file",))
    assert (made.status, made.approval) == (Status.BLOCKED, Approval.REQUIRED)
    with refuses(Code.APPROVAL_REQUIRED):
        take(board, made)
    with refuses(Code.NOTHING_CLAIMABLE):
        board.claim_next(agent="coder", now=2.0, lease_seconds=LEASE)
    approve = partial(deciding.decide, verdict=Verdict.APPROVE, by="me", reason="fine", now=3.0)
    board.change(made.id, approve, now=3.0)
    assert board.claim_next(agent="coder", now=4.0, lease_seconds=LEASE).task.id == made.id
    (decision,) = board.thread(made.id).decisions
    assert (decision.verdict, decision.by, decision.reason) == (Verdict.APPROVE, "me", "fine")


# -- dependencies -----------------------------------------------------------------------------------------


def test_a_task_cannot_be_claimed_before_what_it_depends_on_is_done(board: AnyStore) -> None:
    first, second = make(board), make(board)
    third = make(board, depends_on=(second.id, first.id, second.id))
    assert third.depends_on == (first.id, second.id)
    finish(board, second)
    with pytest.raises(Refused, match=f"waits for {first.id}$") as refused:
        take(board, third)
    assert refused.value.code is Code.DEPENDENCY_UNMET
    assert board.claim_next(agent="coder", now=20.0, lease_seconds=LEASE).task.id == first.id
    with refuses(Code.NOTHING_CLAIMABLE):
        board.claim_next(agent="coder", now=20.0, lease_seconds=LEASE)
    board.change(first.id, partial(endings.expire, now=99.0), now=99.0)
    finish(board, first, now=100.0)
    assert board.claim_next(agent="coder", now=101.0, lease_seconds=LEASE).task.id == third.id


def test_dependencies_are_set_anew_and_taken_away(board: AnyStore) -> None:
    first, second = make(board), make(board)
    third = make(board, depends_on=(first.id,))
    assert board.revise(third.id, {"depends_on": (second.id,)}, who="me", now=2.0).depends_on == (second.id,)
    assert board.snapshot().unmet == {3: (Dependency(2, Status.PENDING, None),)}
    revised = board.revise(third.id, {"depends_on": ()}, who="me", now=2.0)
    assert board.task(third.id) == revised
    assert board.snapshot().unmet == {}
    assert take(board, third).task.depends_on == ()


def test_a_circle_is_refused_when_it_is_written(board: AnyStore) -> None:
    first = make(board)
    second = make(board, depends_on=(first.id,))
    third = make(board, depends_on=(second.id,))
    for closing in ((third.id,), (first.id,), (second.id, third.id)):
        with refuses(Code.INVALID):
            board.revise(first.id, {"depends_on": closing}, who="me", now=2.0)
    assert board.task(first.id) == first
    with refuses(Code.NOT_FOUND):  # it would be its own number
        make(board, depends_on=("T-0004",))


# -- claims -----------------------------------------------------------------------------------------------


def test_a_claim_begins_an_epoch_an_attempt_and_a_lease(board: AnyStore) -> None:
    made = make(board)
    claimed = take(board, made, secret=SECRET)
    assert claimed.token == ClaimToken(made.id, 1, SECRET)
    assert board.task(made.id) == claimed.task
    assert claimed.task.claim_hash == hash_of(SECRET)
    assert (claimed.task.status, claimed.task.lease_until) == (Status.CLAIMED, 70.0)
    assert board.attempt(made.id, 1) == Attempt(made.id, 1, "coder", 10.0)
    assert board.attempt(made.id, 2) is None
    assert names(board.thread(made.id).events) == ["created", "claim"]


def test_a_runs_claim_has_no_lease_and_an_intended_run(board: AnyStore) -> None:
    made = make(board, assignee="coder")
    claimed = take(board, made, lease_seconds=None)
    assert claimed.task.lease_until is None
    assert board.thread(made.id).attempts == (Attempt(made.id, 1, "coder", 10.0, Run.INTENDED),)
    assert len({take(board, make(board)).token.secret for _ in range(3)}) == 3


def test_nobody_claims_what_is_claimed_assigned_elsewhere_or_theirs_to_review(board: AnyStore) -> None:
    held, assigned = make(board), make(board, assignee="writer")
    reviewed, early = make(board, review="agent:coder"), make(board, not_before=100.0)
    take(board, held, lease_seconds=None)
    for task, code in (
        (held, Code.ALREADY_CLAIMED),
        (assigned, Code.NOT_ASSIGNEE),
        (reviewed, Code.NOT_ASSIGNEE),
        (early, Code.ILLEGAL_TRANSITION),
    ):
        with refuses(code):
            take(board, task)
        assert board.task(task.id).epoch == (1 if task is held else 0)
    with refuses(Code.NOTHING_CLAIMABLE):
        board.claim_next(agent="coder", now=99.0, lease_seconds=None)
    with refuses(Code.INVALID):
        board.claim_next(agent="Not An Agent", now=99.0, lease_seconds=None)
    assert board.claim_next(agent="coder", now=100.0, lease_seconds=None).task.id == early.id


def test_the_most_urgent_is_claimed_first_then_what_waits_longest(board: AnyStore) -> None:
    late = make(board, now=3.0)
    early = make(board, now=2.0)
    same = make(board, now=2.0, assignee="coder")
    low = make(board, now=1.0, priority=Priority.LOW)
    urgent = make(board, now=9.0, priority=Priority.URGENT)
    order = [board.claim_next(agent="coder", now=10.0, lease_seconds=LEASE).task.id for _ in range(5)]
    assert order == [urgent.id, early.id, same.id, late.id, low.id]


def test_whoever_comes_with_an_older_epoch_changes_nothing(board: AnyStore) -> None:
    made = make(board)
    first = take(board, made)
    board.change(
        made.id,
        lambda task, held: holding.release(task, held, reason="", who="coder", now=11.0),
        token=first.token,
        now=11.0,
    )
    second = take(board, made, agent="writer", now=12.0)
    before = board.task(made.id), board.thread(made.id)
    stale = [
        first.token,
        replace(second.token, secret=SECRET),
        replace(second.token, epoch=1),
        replace(second.token, task="T-0002"),
    ]
    for token in stale:
        with refuses(Code.STALE_CLAIM):
            board.change(made.id, partial(halting_block, now=13.0), token=token, now=13.0)
        with refuses(Code.STALE_CLAIM):
            hand_in(board, Claimed(second.task, token), now=13.0)
    assert (board.task(made.id), board.thread(made.id)) == before
    board.change(made.id, partial(halting_block, now=13.0), token=second.token, now=13.0)
    assert board.task(made.id).status is Status.BLOCKED


def halting_block(task: Task, held: Attempt | None, *, now: float) -> Change:
    return halting.block(task, held, reason="a question", who="writer", now=now)


def test_a_lease_ends_unless_something_is_written_under_it(board: AnyStore) -> None:
    made = make(board)
    claimed = take(board, made)

    def beat(now: float) -> Change:
        def verb(task: Task, held: Attempt | None) -> Change:
            return holding.heartbeat(task, held, turn=int(now), note="on it", who="coder", now=now)

        return board.change(made.id, verb, token=claimed.token, now=now)

    assert beat(69.0).task.lease_until == 129.0
    assert board.task(made.id).status is Status.WORKING
    assert board.attempt(made.id, 1) == Attempt(made.id, 1, "coder", 10.0, turns=69)
    with refuses(Code.STALE_CLAIM):
        beat(129.0)
    assert [comment.text for comment in board.thread(made.id).comments] == ["on it"]


def test_what_was_left_behind_is_claimed_after_all_that_waits(board: AnyStore) -> None:
    left = make(board, priority=Priority.URGENT)
    take(board, left)
    waiting = make(board, priority=Priority.LOW)
    with refuses(Code.ALREADY_CLAIMED):
        take(board, left, agent="writer", now=69.9)
    assert board.claim_next(agent="writer", now=70.0, lease_seconds=LEASE).task.id == waiting.id
    taken = board.claim_next(agent="writer", now=71.0, lease_seconds=LEASE)
    assert (taken.task.id, taken.task.epoch, taken.task.claimant) == (left.id, 2, "writer")
    first, second = board.thread(left.id).attempts
    assert (first.end, first.ended_at) == ("expired", 71.0)
    assert second.ended_at is None
    assert names(board.thread(left.id).events) == ["created", "claim", "expire", "claim"]
    assert take(board, left, agent="coder", now=200.0).task.epoch == 3


def test_what_was_left_behind_with_its_last_attempt_is_nobodys(board: AnyStore) -> None:
    made = make(board, max_attempts=1)
    claimed = take(board, made)
    with refuses(Code.NOTHING_CLAIMABLE):
        board.claim_next(agent="writer", now=500.0, lease_seconds=LEASE)
    with refuses(Code.ILLEGAL_TRANSITION):
        take(board, made, agent="writer", now=500.0)
    assert board.task(made.id) == claimed.task


# -- verbs ------------------------------------------------------------------------------------------------


def test_a_verb_that_changes_nothing_writes_nothing(board: AnyStore) -> None:
    made = make(board)
    change = board.change(made.id, lambda task, held: Change(task, (), held), now=2.0)
    assert change == Change(made)
    assert board.task(made.id) == made
    assert board.last_event() == board.events_after(0)[-1][0]


def test_a_verb_that_refuses_leaves_everything_as_it_was(board: AnyStore) -> None:
    made = make(board)
    with refuses(Code.ILLEGAL_TRANSITION):
        board.change(made.id, partial(deciding.accept, who="me", now=2.0), now=2.0)
    with pytest.raises(ZeroDivisionError):
        board.change(made.id, lambda task, _: Change(replace(task, title=str(1 // 0))), now=2.0)
    assert (board.task(made.id), len(board.thread(made.id).events)) == (made, 1)


def test_every_verb_of_the_core_is_kept_as_it_was_decided(board: AnyStore) -> None:
    made = make(board)
    number = iter(range(20, 99))

    def do(verb: Callable[..., Change], **words: Any) -> None:
        now = float(next(number))
        change = board.change(made.id, partial(verb, **words, now=now), now=now)
        assert board.task(made.id) == change.task
        if change.attempt is not None:
            assert board.attempt(made.id, change.attempt.epoch) == change.attempt

    def alone(verb: Callable[..., Change]) -> Callable[..., Change]:
        return lambda task, _, **words: verb(task, **words)

    do(halting.block, reason="why?", who="me")
    do(alone(partial(halting.answer, text="because")), who="me")
    take(board, made)
    do(partial(holding.comment, text="hello"), author="coder", held=True)
    do(partial(holding.observe, text="slow today"), author="coder", held=True)
    do(holding.heartbeat, turn=4, waiting_for="the build", who="coder")
    do(halting.stop, who="me")
    do(alone(halting.unblock), who="me")
    take(board, made, now=40.0)
    do(halting.cancel, reason="not wanted", who="me")
    do(alone(halting.retry), who="me")
    take(board, made, now=50.0)
    do(holding.release, reason="later", who="coder")
    do(halting.fail, reason="no use", who="me")
    do(alone(halting.archive), who="me")
    thread = board.thread(made.id)
    assert [attempt.end for attempt in thread.attempts] == ["blocked", "failed", "released"]
    assert [comment.text for comment in thread.comments] == ["because", "hello"]
    assert [observation.text for observation in thread.observations] == ["slow today"]
    assert names(thread.events) == [
        *("created", "block", "answer", "claim", "first_write", "comment", "observe", "heartbeat"),
        *("block", "unblock", "claim", "fail", "retry", "claim", "release", "fail", "archive"),
    ]


def test_an_attempt_of_an_epoch_that_is_over_is_changed_alone(board: AnyStore) -> None:
    made = make(board)
    take(board, made, lease_seconds=None)
    board.change(
        made.id, lambda task, held: halting.block(task, held, reason="x", who="me", now=11.0), now=11.0
    )
    board.change(made.id, lambda task, _: halting.unblock(task, who="me", now=12.0), now=12.0)
    second = take(board, made, now=13.0)

    def ended(task: Task, attempt: Attempt) -> Change:
        return Change(task, (), replace(attempt, run=Run.ENDED, ended_at=14.0, end="ok", tokens=2**40))

    change = board.change_attempt(made.id, 1, ended, now=14.0)
    assert change.task == second.task == board.task(made.id)
    assert board.attempt(made.id, 1) == change.attempt
    assert board.attempt(made.id, 2) == Attempt(made.id, 2, "coder", 13.0)
    both = board.change_attempt(
        made.id, 2, lambda task, held: holding.release(task, held, reason="", who="coder", now=15.0), now=15.0
    )
    assert (board.task(made.id), board.attempt(made.id, 2)) == (both.task, both.attempt)
    with refuses(Code.NOT_FOUND):
        board.change_attempt(made.id, 3, ended, now=14.0)


# -- outputs ----------------------------------------------------------------------------------------------


def test_an_output_has_its_place_its_hash_and_its_author(board: AnyStore) -> None:
    claimed = take(board, make(board))
    output = hand_in(board, claimed, "Ergebnis: ä")
    assert output == Output(
        task=claimed.task.id,
        epoch=1,
        name="report.md",
        author="coder",
        at=11.0,
        size_bytes=12,
        sha256=hashlib.sha256("Ergebnis: ä".encode()).hexdigest(),
        path="T-0001/1/report.md",
        final=True,
    )
    assert board.output_file(output).read_text() == "Ergebnis: ä"
    assert board.thread(claimed.task.id).outputs == (output,)
    assert board.task(claimed.task.id).status is Status.REVIEW


def test_a_second_output_of_one_name_stands_beside_the_first(board: AnyStore) -> None:
    claimed = take(board, make(board))
    outputs = []
    for text in ("one", "two", "three"):
        received = board.receive(text.encode())
        _, output = board.hand_in(
            claimed.task.id, received, name="a.tar.gz", final=False, now=11.0, token=claimed.token
        )
        outputs.append(output)
    assert [Path(output.path).name for output in outputs] == ["a.tar.gz", "a~2.tar.gz", "a~3.tar.gz"]
    assert {output.name for output in outputs} == {"a.tar.gz"}
    assert [board.output_file(output).read_text() for output in outputs] == ["one", "two", "three"]


def test_a_name_that_is_no_plain_file_name_is_refused(board: AnyStore) -> None:
    claimed = take(board, make(board))
    for name in (
        *("", ".", "..", ".hidden", "../up", "a/b", "a\\b", "/etc/passwd", "a\0b", "a\nb", "\x1b[0m"),
        *("x" * 201, "ä" * 101, "\ud800", "a\u2028b"),
    ):
        with refuses(Code.INVALID):
            hand_in(board, claimed, name=name)
    assert board.thread(claimed.task.id).outputs == ()
    assert [path for path in board.artifacts.rglob("*") if path.is_file()] == []


def test_any_other_name_is_only_a_name(board: AnyStore) -> None:
    for name in ("--flag", "a b", "<script>", "Ä" * 100, "x" * 200, "a;b", "con", "~", "x~2", "100%"):
        made = make(board)
        output = hand_in(board, take(board, made), name=name)
        assert board.output_file(output) == board.artifacts / made.id / "1" / name
        assert board.thread(made.id).outputs == (output,)


def test_what_is_refused_leaves_no_file(board: AnyStore) -> None:
    made = make(board)
    fail(board, made)
    with board.receiver() as receiver:
        receiver.write(b"late")
        with refuses(Code.ILLEGAL_TRANSITION):
            board.hand_in(made.id, receiver.finish(), name="a", final=False, now=1.0, author="me")
    with refuses(Code.NOT_FOUND):
        board.hand_in("T-0009", board.receive(b"x"), name="a", final=False, now=1.0, author="me")
    assert [path for path in board.artifacts.rglob("*") if path.is_file()] == []


# -- looking ----------------------------------------------------------------------------------------------


def test_pages_follow_each_other_until_there_are_no_more(board: AnyStore) -> None:
    made = [make(board, f"task {number}", assignee="coder" if number % 2 else None) for number in range(7)]
    finish(board, made[0])
    archive = partial(halting.archive, who="me", now=13.0)
    board.change(made[0].id, lambda task, _: archive(task), now=13.0)
    pages, cursor = [], None
    while True:
        page = board.tasks(TaskQuery(limit=2, cursor=cursor))
        pages.append([task.id for task in page.tasks])
        cursor = page.next_cursor
        if cursor is None:
            break
    assert pages == [["T-0002", "T-0003"], ["T-0004", "T-0005"], ["T-0006", "T-0007"]]
    assert len(board.tasks(TaskQuery(archived=True)).tasks) == 7
    assert [task.id for task in board.tasks(TaskQuery(assignee="coder", limit=2)).tasks] == [
        "T-0002",
        "T-0004",
    ]
    assert board.tasks(TaskQuery(statuses=(Status.DONE, Status.REVIEW), archived=True)).tasks == (
        board.task("T-0001"),
    )
    assert board.tasks(TaskQuery(cursor="T-0007")).tasks == ()


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 10_001}, {"cursor": "x"}, {"cursor": ""}])
def test_a_page_that_cannot_be_is_refused(board: AnyStore, query: dict[str, Any]) -> None:
    with refuses(Code.INVALID):
        board.tasks(TaskQuery(**query))


def test_what_can_be_claimed_is_listed(board: AnyStore) -> None:
    free = make(board)
    for held in (make(board, depends_on=(free.id,)), make(board, risk_tools=("execute_code",))):
        assert held.id not in {task.id for task in board.tasks(TaskQuery(claimable_at=2.0)).tasks}
    early, assigned = make(board, not_before=50.0), make(board, assignee="coder")
    left = take(board, make(board), now=1.0).task

    def claimable(now: float) -> set[str]:
        return {task.id for task in board.tasks(TaskQuery(claimable_at=now)).tasks}

    assert claimable(49.0) == {free.id, assigned.id}
    assert claimable(50.0) == {free.id, assigned.id, early.id}
    assert claimable(61.0) == {free.id, assigned.id, early.id, left.id}


def test_counts_are_of_what_is_not_archived(board: AnyStore) -> None:
    assert board.counts() == dict.fromkeys(Status, 0)
    first, second = make(board), make(board)
    fail(board, first)
    take(board, second)
    assert board.counts() == dict.fromkeys(Status, 0) | {Status.FAILED: 1, Status.CLAIMED: 1}
    board.change(first.id, lambda task, _: halting.archive(task, who="me", now=21.0), now=21.0)
    assert board.counts() == dict.fromkeys(Status, 0) | {Status.CLAIMED: 1}


def test_events_are_read_on_from_the_last_one_seen(board: AnyStore) -> None:
    assert (board.last_event(), list(board.events_after(0))) == (0, [])
    made = make(board)
    seen = board.last_event()
    take(board, made)
    fail(board, made)
    numbers = [number for number, _ in board.events_after(seen)]
    assert names(event for _, event in board.events_after(seen)) == ["claim", "fail"]
    assert numbers == sorted(numbers)
    assert numbers[-1] == board.last_event()
    assert names(event for _, event in board.events_after(seen, limit=1)) == ["claim"]
    assert board.events_after(0)[0][1].details == {"title": "a task"}


def test_a_snapshot_has_what_waits_in_the_order_of_its_turn(board: AnyStore) -> None:
    first = make(board, now=5.0)
    dependant = make(board, now=4.0, depends_on=(first.id,), assignee="coder", not_before=7.0)
    urgent = make(board, now=6.0, priority=Priority.URGENT)
    make(board, risk_tools=("execute_code",))  # waits for a person, not for its turn
    block = partial(halting.block, reason="x", who="scheduler", by=BlockedBy.DEPENDENCY, now=8.0)
    board.change(dependant.id, block, now=8.0)
    waiting = board.snapshot().waiting
    assert [each.id for each in waiting] == [urgent.id, dependant.id, first.id]
    row = waiting[1]
    assert tuple(row) == (
        2,
        Status.BLOCKED,
        Priority.NORMAL,
        "coder",
        4.0,
        7.0,
        True,
        False,
        False,
        None,
        None,
    )
    assert isinstance(row.status, Status)
    assert row.has_dependencies is True
    assert row.dependencies_met is False
    assert board.snapshot().unmet == {2: (Dependency(1, Status.PENDING, None),)}


def test_a_snapshot_has_what_is_held_with_attempts_and_reviews(board: AnyStore) -> None:
    by_hand, run, judged = make(board), make(board), make(board, review="agent:critic")
    hand = take(board, by_hand)
    running = take(board, run, agent="writer", lease_seconds=None, now=11.0)
    hand_in(board, take(board, judged, now=12.0), now=12.0)
    make(board, "the first review", review_of=judged.id)
    review = make(board, "the second", review_of=judged.id, depends_on=(by_hand.id,))
    make(board, "of something that nobody asks about", review_of=by_hand.id)
    gone = make(board)
    take(board, gone, agent="tester", lease_seconds=None, now=13.0)
    fail(board, gone, now=14.0)
    snapshot = board.snapshot()
    assert snapshot.held == (hand.task, running.task, board.task(judged.id))
    assert [attempt.run_id for attempt in snapshot.attempts] == [
        "T-0001.1",
        "T-0002.1",
        "T-0003.1",
        "T-0007.1",
    ]
    assert snapshot.reviews == {3: review}
    assert snapshot.unarchived == ()


def test_outputs_are_told_by_task_and_by_epoch_the_oldest_first(board: AnyStore) -> None:
    made, other = make(board), make(board)
    first = take(board, made)
    received = board.receive(b"a draft")
    _, draft = board.hand_in(made.id, received, name="draft.md", final=False, now=11.0, token=first.token)
    elsewhere = hand_in(board, take(board, other), now=11.5)
    release = partial(holding.release, reason="", who="coder", now=12.0)
    board.change(made.id, release, token=first.token, now=12.0)
    output = hand_in(board, take(board, made, now=13.0), now=14.0)
    assert board.outputs(made.id) == board.thread(made.id).outputs == (draft, output)
    assert board.outputs(made.id, 1) == (draft,)
    assert board.outputs(made.id, 2) == (output,)
    assert board.outputs(made.id, 3) == board.outputs("T-0099") == ()
    assert board.all_outputs() == (draft, elsewhere, output)
    with refuses(Code.NOT_FOUND):
        board.outputs("no task")


def test_sessions_that_still_stand_are_named_until_they_are_archived(board: AnyStore) -> None:
    for number in range(22):
        made = make(board)
        take(board, made, lease_seconds=None)
        ended = partial(run_over, at=100.0 - number)
        board.change_attempt(made.id, 1, ended, now=100.0)
    unarchived = board.snapshot().unarchived
    assert [attempt.task for attempt in unarchived] == [f"T-{number:04d}" for number in range(22, 2, -1)]
    board.archived("T-0022", 1, now=200.0)
    board.archived("T-0022", 1, now=300.0)
    assert board.snapshot().unarchived[0].task == "T-0021"
    archived = board.attempt("T-0022", 1)
    assert archived is not None
    assert archived.archived_at == 200.0


def run_over(task: Task, attempt: Attempt, *, at: float) -> Change:
    return Change(task, (), replace(attempt, run=Run.ENDED, ended_at=at, end="ok"))


def test_why_a_task_waits_is_kept_while_it_waits(board: AnyStore) -> None:
    waiting, held = make(board), make(board)
    claimed = take(board, held)
    board.explain([Explain(2, "too late", 5.0), Explain(1, "nothing is spare", 90.5), Explain(99, "?", None)])
    assert board.task(held.id) == claimed.task
    assert board.task(waiting.id) == replace(
        waiting, waiting_because="nothing is spare", expected_start_at=90.5
    )
    board.explain([])
    board.explain([Explain(1, "now it is", None)])
    assert board.snapshot().waiting[0][-2:] == ("now it is", None)
    assert take(board, waiting).task.waiting_because is None


# -- beside tasks -----------------------------------------------------------------------------------------


def test_news_is_told_once_per_cause(board: AnyStore) -> None:
    first = Notice("coo", "T-0001 failed", "it failed", 1.0, urgent=True)
    again = replace(first, text="it failed, again", at=2.0)
    other = Notice("critical", "blocked", "the key is refused", 3.0)
    board.tell([first, again])
    board.tell([other])
    board.tell([])
    assert notices(board) == [first, other]
    tell(board, unsent(board)[0].number, 4.0)
    board.tell([again])
    assert notices(board) == [other]
    assert board.notices_count() == 1


def test_what_was_told_is_pruned_by_time_and_what_was_not_stays(board: AnyStore) -> None:
    board.tell([Notice("coo", cause, "text", 1.0) for cause in ("early", "late", "never told")])
    early, late, _ = (each.number for each in unsent(board))
    tell(board, early, 4.0)
    tell(board, early, 9.0)
    tell(board, late, 5.0)
    assert board.prune_notices(5.0) == 1
    assert board.prune_notices(5.0) == 0
    board.tell([Notice("coo", cause, "again", 10.0) for cause in ("early", "late", "never told")])
    assert [(each.cause, each.text) for each in notices(board)] == [
        ("never told", "text"),
        ("early", "again"),
    ]


def test_a_verb_may_bring_news(board: AnyStore) -> None:
    made = make(board)
    notice = Notice("coo", "cause", "text", 2.0)
    for _ in range(2):
        board.change(made.id, lambda task, _: Change(task, (notice,)), now=2.0)
    assert notices(board) == [notice]
    assert board.task(made.id) == made


def test_pauses_and_what_was_learnt_of_agents_do_not_undo_each_other(board: AnyStore) -> None:
    assert board.agents() == {}
    board.set_pause("coder", 50.0, who="me", now=1.0)
    board.remember_run_seconds("coder", 90.5)
    board.remember_run_seconds("writer", 10.0)
    board.set_pause("*", inf, who="me", now=1.0)
    assert board.agents() == {
        "coder": AgentRecord("coder", 50.0, 90.5),
        "writer": AgentRecord("writer", None, 10.0),
        "*": AgentRecord("*", inf),
    }
    board.set_pause("coder", None, who="me", now=2.0)
    assert board.snapshot().agents["coder"] == AgentRecord("coder", None, 90.5)


def test_the_audit_is_pruned_by_time(board: AnyStore) -> None:
    records = [AuditRecord(float(at), "me", "run_started", "T-0001", "ok", {"n": at}) for at in range(5)]
    board.write_audit(records)
    board.write_audit([])
    assert board.prune_audit(3.0) == 3
    assert board.prune_audit(3.0) == 0
    board.check()
    assert board.size_bytes() >= 0
    assert "password" not in board.url_shown
