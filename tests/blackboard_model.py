"""The board as it should behave, in dictionaries: what the real one is compared with, and a fake for others.

The rule: nothing of the real board's is used where it could be wrong, which is everything that SQL says: what
is claimable is asked of the core, task by task; what goes round is walked by hand. The conformance suite runs
on this too, so a test that has this board has the board.
"""

import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from scheduler.audit.record import AuditRecord
from scheduler.blackboard import artifacts
from scheduler.blackboard.queries import Claimed, Page, Received, TaskQuery, Thread
from scheduler.core import cards, holding
from scheduler.core.change import Change
from scheduler.core.claims import ClaimToken, expired, hash_of, holder
from scheduler.core.commands import Explain
from scheduler.core.errors import Code, Refused
from scheduler.core.notices import Unsent
from scheduler.core.records import (
    Attempt,
    Comment,
    Decision,
    Event,
    Notice,
    Observation,
    Output,
    Record,
    Run,
)
from scheduler.core.snapshot import AgentRecord, BoardSnapshot, Dependency, Waiting
from scheduler.core.states import Status
from scheduler.core.task import BlockedBy, Draft, Task, agent_name, number_of, task_id

Beside = Output | Comment | Observation | Decision | Event
WAITS = {Status.PENDING, Status.BLOCKED}
MAY_RUN = {Status.CLAIMED, Status.WORKING, Status.REVIEW}


class ModelStore:
    """Has the verbs of `Store`. One lock: everything is one after the other."""

    url_shown = "memory"
    most_writers = 1

    def __init__(self, directory: Path, high_risk: Collection[str] = ()) -> None:
        self.artifacts = directory
        self._high_risk = frozenset(high_risk)
        self._lock = threading.RLock()
        # All under the lock.
        self._tasks: dict[int, Task] = {}
        self._attempts: dict[tuple[str, int], Attempt] = {}
        self._records: list[Beside] = []
        self._outbox: dict[int, Notice] = {}
        self._told: dict[int, float] = {}
        self._noticed = 0
        self._agents: dict[str, AgentRecord] = {}
        self.audit: list[AuditRecord] = []

    def close(self) -> None: ...

    def check(self) -> None: ...

    def size_bytes(self) -> int:
        return 0

    # -- reads ----------------------------------------------------------------------------------------

    def task(self, task_id: str) -> Task:
        with self._lock:
            found = self._tasks.get(number_of(task_id))
            if found is None:
                raise Refused(Code.NOT_FOUND, f"there is no task {task_id}")
            return found

    def tasks(self, query: TaskQuery) -> Page:
        with self._lock:
            after = query.after()
            found = [
                task for number, task in self._tasks.items() if number > after and self._fits(task, query)
            ]
            more = len(found) > query.limit
            return Page(tuple(found[: query.limit]), found[query.limit - 1].id if more else None)

    def _fits(self, task: Task, query: TaskQuery) -> bool:
        return (
            (not query.statuses or task.status in query.statuses)
            and query.assignee in {None, task.assignee}
            and (query.archived or task.archived_at is None)
            and (query.claimable_at is None or self._claimable(task, _somebody(task), query.claimable_at))
        )

    def _claimable(self, task: Task, agent: str, now: float) -> bool:
        try:
            self._claim_of(task, agent, now, 1.0, "")
        except Refused:
            return False
        return task.archived_at is None

    def thread(self, task_id: str) -> Thread:
        with self._lock:
            task = self.task(task_id)

            def beside(kind: Any) -> Any:
                return tuple(
                    each for each in self._records if isinstance(each, kind) and each.task == task.id
                )

            return Thread(
                outputs=beside(Output),
                comments=beside(Comment),
                observations=beside(Observation),
                decisions=beside(Decision),
                attempts=tuple(
                    attempt for _, attempt in sorted(self._attempts.items()) if attempt.task == task.id
                ),
                events=beside(Event),
            )

    def outputs(self, task_id: str, epoch: int | None = None) -> tuple[Output, ...]:
        number_of(task_id)
        mine = (each for each in self.all_outputs() if each.task == task_id)
        return tuple(each for each in mine if epoch is None or each.epoch == epoch)

    def all_outputs(self) -> tuple[Output, ...]:
        with self._lock:
            return tuple(each for each in self._records if isinstance(each, Output))

    def attempt(self, task_id: str, epoch: int) -> Attempt | None:
        number_of(task_id)
        return self._attempts.get((task_id, epoch))

    def counts(self) -> Mapping[Status, int]:
        with self._lock:
            there = [task.status for task in self._tasks.values() if task.archived_at is None]
            return {status: there.count(status) for status in Status}

    def _events(self) -> Iterator[tuple[int, Event]]:
        events = (record for record in self._records if isinstance(record, Event))
        yield from enumerate(events, start=1)

    def events_after(self, number: int, limit: int = 500) -> Sequence[tuple[int, Event]]:
        with self._lock:
            return [each for each in self._events() if each[0] > number][:limit]

    def last_event(self) -> int:
        with self._lock:
            return sum(1 for _ in self._events())

    def agents(self) -> Mapping[str, AgentRecord]:
        return dict(self._agents)

    def unsent(self) -> list[Unsent]:
        with self._lock:
            return [Unsent(*each) for each in self._outbox.items() if each[0] not in self._told]

    def notices_count(self) -> int:
        with self._lock:
            return len(self._outbox) - len(self._told)

    def output_file(self, output: Output) -> Path:
        return artifacts.locate(self.artifacts, output)

    def snapshot(self) -> BoardSnapshot:
        with self._lock:
            tasks = list(self._tasks.values())
            held = tuple(task for task in tasks if task.status in MAY_RUN)
            newest = {(task.id, task.epoch) for task in held}
            ended = [
                each for each in self._attempts.values() if each.run is Run.ENDED and not each.archived_at
            ]
            return BoardSnapshot(
                held=held,
                waiting=tuple(sorted(_waiting(tasks), key=attrgetter("priority", "pending_since", "number"))),
                unmet={
                    task.number: unmet
                    for task in tasks
                    if task.status in WAITS and (unmet := tuple(map(_dependency, self._unmet(task))))
                },
                attempts=tuple(
                    sorted(
                        (each for key, each in self._attempts.items() if each.live or key in newest),
                        key=lambda each: (each.claimed_at, each.run_id),
                    )
                ),
                reviews={
                    number_of(task.review_of): task
                    for task in tasks
                    if task.review_of is not None and self.task(task.review_of).status is Status.REVIEW
                },
                agents=self.agents(),
                unarchived=tuple(
                    sorted(
                        (each for each in ended if each.archived_at is None),
                        key=lambda each: (each.ended_at, number_of(each.task), each.epoch),
                    )[:20]
                ),
            )

    # -- writes ---------------------------------------------------------------------------------------

    def create(self, draft: Draft, *, who: str, now: float) -> Task:
        with self._lock:
            draft = replace(draft, depends_on=_in_order(draft.depends_on))
            change = cards.create(draft, len(self._tasks) + 1, high_risk=self._high_risk, who=who, now=now)
            for each in (*draft.depends_on, *filter(None, [draft.review_of])):
                self.task(each)
            if draft.external_id is not None and any(
                (task.source, task.external_id) == (draft.source, draft.external_id)
                for task in self._tasks.values()
            ):
                raise Refused(Code.INVALID, f"{draft.source} {draft.external_id!r} is on the board already")
            self._save(change)
            return change.task

    def revise(self, task_id: str, fields: Mapping[str, Any], *, who: str, now: float) -> Task:
        with self._lock:
            if "depends_on" in fields:
                fields = {**fields, "depends_on": _in_order(fields["depends_on"])}
            change = cards.revise(self.task(task_id), fields, high_risk=self._high_risk, who=who, now=now)
            for each in change.task.depends_on:
                self.task(each)
            if change.task.id in self._reached_from(change.task.depends_on):
                raise Refused(Code.INVALID, f"{task_id} would wait for itself")
            self._save(change)
            return change.task

    def _reached_from(self, start: Iterable[str]) -> set[str]:
        reached: set[str] = set()
        todo = list(start)
        while todo:
            each = todo.pop()
            if each not in reached:
                reached.add(each)
                todo += self.task(each).depends_on
        return reached

    def claim(
        self, task_id: str, *, agent: str, now: float, lease_seconds: float | None, secret: str | None = None
    ) -> Claimed:
        with self._lock:
            secret = secret or secrets.token_urlsafe(24)
            change = self._claim_of(self.task(task_id), agent, now, lease_seconds, secret)
            self._save(change)
            return Claimed(change.task, ClaimToken(task_id, change.task.epoch, secret))

    def claim_next(
        self, *, agent: str, now: float, lease_seconds: float | None, secret: str | None = None
    ) -> Claimed:
        with self._lock:
            agent_name(agent)
            for task in self._in_order_of_claims(now):
                if self._claimable(task, agent, now):
                    return self.claim(
                        task.id, agent=agent, now=now, lease_seconds=lease_seconds, secret=secret
                    )
            raise Refused(Code.NOTHING_CLAIMABLE, f"there is nothing that {agent} can claim")

    def _in_order_of_claims(self, now: float) -> Iterator[Task]:
        pending = [task for task in self._tasks.values() if task.status is Status.PENDING]
        yield from sorted(pending, key=lambda task: (task.priority, task.pending_since, task.number))
        abandoned = [task for task in self._tasks.values() if expired(task, now)]
        yield from sorted(abandoned, key=lambda task: (task.lease_until, task.number))

    def _claim_of(
        self, task: Task, agent: str, now: float, lease_seconds: float | None, secret: str
    ) -> Change:
        return holding.claim(
            task,
            [each.id for each in self._unmet(task)],
            agent=agent,
            claim_hash=hash_of(secret),
            lease_seconds=lease_seconds,
            now=now,
            previous=self._present(task) if task.held else None,
        )

    def change(
        self,
        task_id: str,
        verb: Callable[[Task, Attempt | None], Change],
        *,
        token: ClaimToken | None = None,
        now: float,
    ) -> Change:
        with self._lock:
            task = self.task(task_id)
            if token is not None:
                holder(task, token, now)
            change = verb(task, self._present(task))
            self._save(change)
            return change

    def change_attempt(
        self, task_id: str, epoch: int, verb: Callable[[Task, Attempt], Change], now: float
    ) -> Change:
        with self._lock:
            task, held = self.task(task_id), self.attempt(task_id, epoch)
            if held is None:
                raise Refused(Code.NOT_FOUND, f"{task_id} has no attempt {epoch}")
            change = verb(task, held)
            self._save(change)
            return change

    def receiver(self) -> artifacts.Receiver:
        return artifacts.Receiver(self.artifacts)

    def receive(self, content: bytes) -> Received:
        receiver = self.receiver()
        receiver.write(content)
        return receiver.finish()

    def hand_in(
        self,
        task_id: str,
        received: Received,
        *,
        name: str,
        final: bool,
        now: float,
        author: str = "",
        token: ClaimToken | None = None,
    ) -> tuple[Change, Output]:
        try:
            with self._lock:
                artifacts.check_name(name)
                task = self.task(task_id)
                who = holder(task, token, now) if token is not None else author
                output = Output(
                    task.id, task.epoch, name, who, now, received.size_bytes, received.sha256, "", final
                )
                _check_keepable([output])
                holding.hand_in(task, self._present(task), output, who=who, now=now)
                path = artifacts.place(self.artifacts, received, task.id, task.epoch, name)
                output = replace(output, path=path)
                change = holding.hand_in(task, self._present(task), output, who=who, now=now)
                self._save(change)
                return change, output
        finally:
            artifacts.discard(received)

    def set_pause(self, agent: str, until: float | None, *, who: str, now: float) -> None:
        with self._lock:
            self._agents[agent] = replace(self._agents.get(agent, AgentRecord(agent)), paused_until=until)

    def remember_run_seconds(self, agent: str, seconds: float) -> None:
        with self._lock:
            self._agents[agent] = replace(self._agents.get(agent, AgentRecord(agent)), run_seconds=seconds)

    def explain(self, explanations: Sequence[Explain]) -> None:
        with self._lock:
            for each in explanations:
                task = self._tasks.get(each.number)
                if task is not None and task.status in WAITS:
                    self._tasks[each.number] = replace(
                        task, waiting_because=each.because, expected_start_at=each.expected_start_at
                    )

    def archived(self, task_id: str, epoch: int, *, now: float) -> None:
        with self._lock:
            attempt = self.attempt(task_id, epoch)
            if attempt is not None and attempt.archived_at is None:
                self._attempts[task_id, epoch] = replace(attempt, archived_at=now)

    def tell(self, notices: Sequence[Notice]) -> None:
        with self._lock:
            _check_keepable(notices)
            self._add(notices)

    def cross_off(self, number: int, now: float) -> None:
        with self._lock:
            if number in self._outbox:
                self._told.setdefault(number, now)

    def prune_notices(self, before: float) -> int:
        with self._lock:
            pruned = [number for number, at in self._told.items() if at < before]
            for number in pruned:
                del self._outbox[number], self._told[number]
            return len(pruned)

    def write_audit(self, records: Sequence[AuditRecord]) -> None:
        with self._lock:
            self.audit += records

    def prune_audit(self, before: float) -> int:
        with self._lock:
            kept = [record for record in self.audit if record.at >= before]
            pruned, self.audit = len(self.audit) - len(kept), kept
            return pruned

    # -- inside ---------------------------------------------------------------------------------------

    def _unmet(self, task: Task) -> list[Task]:
        others = [self.task(each) for each in task.depends_on]
        return [other for other in others if other.status is not Status.DONE]

    def _present(self, task: Task) -> Attempt | None:
        return self._attempts.get((task.id, task.epoch))

    def _save(self, change: Change) -> None:
        """Nothing is refused any more once something has been written."""
        _check_keepable([change.task, *change.records])
        self._tasks[change.task.number] = change.task
        for attempt in (change.ended, change.attempt):
            if attempt is not None:
                self._attempts[attempt.task, attempt.epoch] = attempt
        self._add(change.records)

    def _add(self, records: Iterable[Record]) -> None:
        for record in records:
            if isinstance(record, Notice):
                if all(record.cause != known.cause for known in self._outbox.values()):
                    self._noticed += 1
                    self._outbox[self._noticed] = record
            else:
                self._records.append(record)


def _somebody(task: Task) -> str:
    return task.assignee or "somebody-else-altogether"


def _in_order(depends_on: Iterable[str]) -> tuple[str, ...]:
    return tuple(task_id(number) for number in sorted({number_of(each) for each in depends_on}))


def _waiting(tasks: Iterable[Task]) -> Iterator[Waiting]:
    for task in tasks:
        if task.archived_at is None and (
            task.status is Status.PENDING
            or (task.status is Status.BLOCKED and task.blocked_by is BlockedBy.DEPENDENCY)
        ):
            yield Waiting(
                task.number,
                task.status,
                task.priority,
                task.assignee,
                task.created_at if task.pending_since is None else task.pending_since,
                task.not_before,
                bool(task.depends_on),
                task.dependencies_met,
                task.dependency_notified,
                task.waiting_because,
                task.expected_start_at,
            )


def _dependency(task: Task) -> Dependency:
    return Dependency(task.number, task.status, task.assignee)


def _check_keepable(records: Iterable[Task | Record]) -> None:
    for record in records:
        for name in type(record).__slots__:
            value = getattr(record, name)
            inside = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
            if any(_is_torn(each) for each in (value, *inside)) or (isinstance(value, str) and "\0" in value):
                raise Refused(Code.INVALID, "no database keeps such text")
            if isinstance(value, int) and abs(value) >= 2**63:
                raise Refused(Code.INVALID, "no database keeps so large a number")


def _is_torn(value: object) -> bool:
    """Half a surrogate pair."""
    return isinstance(value, str) and value != value.encode(errors="ignore").decode()
