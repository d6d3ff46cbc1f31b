"""The board: what can be asked of it and done to it. Synchronous; `Board` carries it to threads.

The rule: a verb of the core decides, on a task that nobody else changes meanwhile, and what it decides is
written whole or not at all. When a write returns it is on the disk.

Reads may come from any thread at once; writes too, and SQLite's then wait for each other.
"""

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, text, update

from scheduler.blackboard import artifacts, looking, reading, saving, schema
from scheduler.blackboard.artifacts import Received, Receiver
from scheduler.blackboard.claimable import abandoned, by_agent, free
from scheduler.blackboard.database import Database, open_database
from scheduler.blackboard.errors import BoardBroken, BoardBusy
from scheduler.blackboard.faults import Collision
from scheduler.blackboard.queries import Claimed, Page, TaskQuery, Thread, in_order
from scheduler.blackboard.reading import Loaded
from scheduler.blackboard.rows import as_json, storable
from scheduler.blackboard.tables import attempts, audit, outbox, tasks
from scheduler.core import cards, holding
from scheduler.core.change import Change
from scheduler.core.claims import ClaimToken, hash_of, holder
from scheduler.core.errors import Code, Refused
from scheduler.core.records import Attempt, Event, Notice, Output
from scheduler.core.snapshot import AgentRecord, BoardSnapshot
from scheduler.core.states import Status
from scheduler.core.task import Draft, Task, agent_name, number_of

if TYPE_CHECKING:  # of no use to one command of the command line, and 20 classes to make
    from scheduler.audit.record import AuditRecord
    from scheduler.core.commands import Explain

BUSY_SECONDS: Final = 10.0
_TRIES: Final = 5
"""Of a transaction that others have overtaken."""

_T = TypeVar("_T")

_candidate: Final = select(*reading.TASK_COLUMNS).where(
    by_agent(bindparam("agent"), bindparam("as_reviewer"))
)
# Whoever comes second takes the next one instead of waiting for the first.
_NEXT_FREE: Final = (
    _candidate.where(free(bindparam("now")))
    .order_by(tasks.c.priority, tasks.c.pending_since, tasks.c.number)
    .limit(1)
    .with_for_update(of=tasks, key_share=True, skip_locked=True)
)
_NEXT_ABANDONED: Final = (
    _candidate.where(abandoned(bindparam("now")))
    .order_by(tasks.c.lease_until, tasks.c.number)
    .limit(1)
    .with_for_update(of=tasks, key_share=True, skip_locked=True)
)
_PAUSE: Final = text(
    "INSERT INTO agents (agent, paused_until, paused_by, paused_at) VALUES (:agent, :until, :who, :now) "
    "ON CONFLICT (agent) DO UPDATE SET paused_until = excluded.paused_until, "
    "paused_by = excluded.paused_by, paused_at = excluded.paused_at"
)
_REMEMBER: Final = text(
    "INSERT INTO agents (agent, run_seconds) VALUES (:agent, :run_seconds) "
    "ON CONFLICT (agent) DO UPDATE SET run_seconds = excluded.run_seconds"
)
_NOTICE_DONE: Final = (
    update(outbox)
    .where(outbox.c.number == bindparam("its_number"), outbox.c.done_at.is_(None))
    .values(done_at=bindparam("now"))
)
_EXPLAIN: Final = (
    update(tasks)
    .where(
        tasks.c.number == bindparam("its_number"),
        # Not `in_`: lists cannot be part of a statement that is executed for many rows at once.
        or_(tasks.c.status == Status.PENDING.value, tasks.c.status == Status.BLOCKED.value),
    )
    .values(
        waiting_because=bindparam("because"),
        expected_start_at=bindparam("expected_at"),
        version=tasks.c.version + 1,
    )
)
_ARCHIVED: Final = (
    update(attempts)
    .where(
        attempts.c.task == bindparam("its_task"),
        attempts.c.epoch == bindparam("its_epoch"),
        attempts.c.archived_at.is_(None),
    )
    .values(archived_at=bindparam("now"))
)
_INSERT_AUDIT: Final = insert(audit)
_PRUNE_AUDIT: Final = delete(audit).where(audit.c.at < bindparam("before"))


class Store:
    """One board. Owner of the connections to it."""

    def __init__(self, database: Database, artifacts_dir: Path, high_risk: Collection[str] = ()) -> None:
        self._database = database
        self.artifacts = artifacts_dir
        self._high_risk = frozenset(high_risk)
        # Set once, by whichever write finds the disk failing.
        self._broken: BoardBroken | None = None

    @classmethod
    def open(
        cls,
        url: str,
        *,
        artifacts: Path,
        create: bool = True,
        pool_size: int = 10,
        max_overflow: int = 20,
        busy_seconds: float = BUSY_SECONDS,
        high_risk: Collection[str] = (),
    ) -> Self:
        """The board at `url`, made or migrated where that is due.

        `create` False: what is not there yet is not made. `high_risk`: the tools that somebody has to allow.
        Raises BoardError.
        """
        database = open_database(
            url,
            create=create,
            pool_size=pool_size,
            max_overflow=max_overflow,
            busy_seconds=busy_seconds,
        )
        try:
            schema.prepare(database, create=create)
        except BaseException:
            database.close()
            raise
        return cls(database, artifacts, high_risk)

    def close(self) -> None:
        """Closes all connections. Whoever uses the store afterwards opens new ones."""
        self._database.close()

    @property
    def url_shown(self) -> str:
        """The address of the database, for people: without the password."""
        return self._database.shown

    @property
    def most_writers(self) -> int:
        """How many writes make sense at once."""
        return self._database.most_writers

    def size_bytes(self) -> int:
        """What the database takes on its disk."""
        return self._database.size_bytes()

    def check(self) -> None:
        """Whether the board answers. Raises BoardError where it does not."""
        if self._broken is not None:
            raise self._broken
        self._read(reading.last_event)

    # What is on the board.

    def task(self, task_id: str) -> Task:
        """Raises Refused (`not_found`)."""
        return self._read(lambda connection: reading.load(connection, task_id).task)

    def tasks(self, query: TaskQuery) -> Page:
        """Raises Refused (`invalid`) for a cursor or a limit that is none."""
        return self._read(lambda connection: reading.page(connection, query))

    def thread(self, task_id: str) -> Thread:
        """Raises Refused (`not_found`)."""
        return self._read(lambda connection: reading.thread(connection, task_id))

    def attempt(self, task_id: str, epoch: int) -> Attempt | None:
        """Raises Refused (`not_found`) for what is no task id."""
        return self._read(lambda connection: reading.attempt(connection, number_of(task_id), epoch))

    def counts(self) -> Mapping[Status, int]:
        """How many tasks of each state are not archived."""
        return self._read(reading.counts)

    def events_after(self, number: int, limit: int = 500) -> Sequence[tuple[int, Event]]:
        """What happened after the event `number`, in its order; nothing appears later in between."""
        return self._read(lambda connection: reading.events_after(connection, number, limit))

    def last_event(self) -> int:
        """The number of the newest event; 0: nothing has happened yet."""
        return self._read(reading.last_event)

    def snapshot(self) -> BoardSnapshot:
        """Everything that a tick has to know, at one moment."""
        return self._read(looking.snapshot)

    def agents(self) -> Mapping[str, AgentRecord]:
        """What is remembered of agents."""
        return self._read(reading.agent_records)

    def notices_pending(self, limit: int) -> Sequence[tuple[int, Notice]]:
        """What somebody has yet to be told, the oldest first."""
        return self._read(lambda connection: reading.notices_pending(connection, limit))

    def output_file(self, output: Output) -> Path:
        """Where an output lies."""
        return artifacts.locate(self.artifacts, output)

    # What is done to it. Each is one transaction, and raises Refused or BoardError having changed nothing.

    def create(self, draft: Draft, *, who: str, now: float) -> Task:
        """Refused: `invalid`, also for what a source has brought before; `not_found` for a dependency."""
        draft = replace(draft, depends_on=in_order(draft.depends_on))

        def work(connection: Connection) -> Task:
            number = saving.next_number(connection)
            change = cards.create(draft, number, high_risk=self._high_risk, who=who, now=now)
            saving.add_task(connection, change.task)
            saving.add_records(self._database, connection, change.records)
            return change.task

        return self._write(work)

    def revise(self, task_id: str, fields: Mapping[str, Any], *, who: str, now: float) -> Task:
        """`set`. Refused besides: `not_found` for a dependency, `invalid` for a circle of them."""
        if "depends_on" in fields:
            fields = {**fields, "depends_on": in_order(tuple(fields["depends_on"]))}

        def work(connection: Connection) -> Task:
            before = reading.load(connection, task_id, hold=True)
            change = cards.revise(before.task, fields, high_risk=self._high_risk, who=who, now=now)
            if change.task.depends_on != before.task.depends_on:
                saving.check_known(connection, change.task.depends_on)
                saving.check_acyclic(connection, change.task)
            saving.save(self._database, connection, before, None, change)
            return change.task

        return self._write(work)

    def claim(
        self, task_id: str, *, agent: str, now: float, lease_seconds: float | None, secret: str | None = None
    ) -> Claimed:
        """`lease_seconds` None: a run will hold it. `secret`: drawn here, unless it is drawn already."""
        secret = secret or secrets.token_urlsafe(24)

        def work(connection: Connection) -> Claimed:
            before = reading.load(connection, task_id, hold=True)
            return self._claim(connection, before, agent, lease_seconds, secret=secret, now=now)

        return self._write(work)

    def claim_next(
        self, *, agent: str, now: float, lease_seconds: float | None, secret: str | None = None
    ) -> Claimed:
        """The most urgent task that `agent` can claim, and of those the one that waits longest.

        After them, what somebody else held under a lease that has ended. Refused: `nothing_claimable`.
        """
        agent_name(agent)
        secret = secret or secrets.token_urlsafe(24)
        wanted = {"agent": agent, "as_reviewer": f"agent:{agent}", "now": now}

        def work(connection: Connection) -> Claimed:
            for candidate in (_NEXT_FREE, _NEXT_ABANDONED):
                row = connection.execute(candidate, wanted).first()
                if row is not None:
                    before = reading.loaded(connection, row)
                    return self._claim(connection, before, agent, lease_seconds, secret=secret, now=now)
            raise Refused(Code.NOTHING_CLAIMABLE, f"there is nothing that {agent} can claim")

        return self._write(work)

    def change(
        self,
        task_id: str,
        verb: Callable[[Task, Attempt | None], Change],
        *,
        token: ClaimToken | None = None,
        now: float,
    ) -> Change:
        """What `verb` makes of the task and of the attempt of its present epoch.

        With a `token`, only for whoever holds the task with it (`stale_claim`). A verb that changes nothing
        writes nothing.
        """

        def work(connection: Connection) -> Change:
            before, held = self._load(connection, task_id, token, now)
            change = verb(before.task, held)
            saving.save(self._database, connection, before, held, change)
            return change

        return self._write(work)

    def change_attempt(
        self,
        task_id: str,
        epoch: int,
        verb: Callable[[Task, Attempt], Change | Attempt],
        now: float,
    ) -> Change:
        """The same for an attempt of any epoch: a run may end long after its claim did."""

        def work(connection: Connection) -> Change:
            before = reading.load(connection, task_id, hold=True)
            held = reading.attempt(connection, before.task.number, epoch)
            if held is None:
                raise Refused(Code.NOT_FOUND, f"{task_id} has no attempt {epoch}")
            made = verb(before.task, held)
            change = made if isinstance(made, Change) else Change(before.task, (), made)
            saving.save(self._database, connection, before, held, change)
            return change

        return self._write(work)

    def receiver(self) -> Receiver:
        """For a file that is to be handed in."""
        return Receiver(self.artifacts)

    def receive(self, content: bytes) -> Received:
        """The same for a short file, at once."""
        receiver = Receiver(self.artifacts)
        try:
            receiver.write(content)
            return receiver.finish()
        except BaseException:
            receiver.discard()
            raise

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
        """A file becomes an output, by the holder of the `token`, or else by `author`.

        Afterwards what was received is gone from where it was, one way or the other.
        """

        def work(connection: Connection) -> tuple[Change, Output]:
            before, held = self._load(connection, task_id, token, now)
            task = before.task
            who = author if token is None else holder(task, token, now)
            output = Output(
                task.id, task.epoch, name, who, now, received.size_bytes, received.sha256, "", final
            )
            # Refused before the file has moved, if it is.
            holding.hand_in(task, held, output, who=who, now=now)
            path = artifacts.place(self.artifacts, received, task.id, task.epoch, name)
            try:
                output = replace(output, path=path)
                change = holding.hand_in(task, held, output, who=who, now=now)
                saving.save(self._database, connection, before, held, change)
            except BaseException:
                artifacts.take_back(self.artifacts, received, path)
                raise
            return change, output

        try:
            artifacts.check_name(name)
            return self._write(work)
        finally:
            artifacts.discard(received)

    def set_pause(self, agent: str, until: float | None, *, who: str, now: float) -> None:
        """No new runs of `agent` (`*`: of anybody) before `until`; None: it may go on."""
        values = storable({"agent": agent, "until": until, "who": who, "now": now})
        self._write(lambda connection: connection.execute(_PAUSE, values))

    def remember_run_seconds(self, agent: str, seconds: float) -> None:
        """How long the runs of `agent` take."""
        values = storable({"agent": agent, "run_seconds": seconds})
        self._write(lambda connection: connection.execute(_REMEMBER, values))

    def explain(self, explanations: "Sequence[Explain]") -> None:
        """Why tasks wait; those that wait no more are left as they are."""
        rows = [
            storable(
                {"its_number": each.number, "because": each.because, "expected_at": each.expected_start_at}
            )
            for each in sorted(explanations, key=attrgetter("number"))  # two at once lock in the same order
        ]
        if rows:
            self._write(lambda connection: connection.execute(_EXPLAIN, rows))

    def archived(self, task_id: str, epoch: int, *, now: float) -> None:
        """The session of that attempt's run has been put away."""
        values = {"its_task": number_of(task_id), "its_epoch": epoch, "now": now}
        self._write(lambda connection: connection.execute(_ARCHIVED, values))

    def notice_done(self, number: int, now: float) -> None:
        """They were told."""
        self._write(lambda connection: connection.execute(_NOTICE_DONE, {"its_number": number, "now": now}))

    def tell(self, notices: Sequence[Notice]) -> None:
        """News for the outbox. The same cause again is no news."""
        if notices:
            self._write(lambda connection: saving.add_records(self._database, connection, notices))

    def write_audit(self, records: "Sequence[AuditRecord]") -> None:
        """All of them, or none."""
        rows = [
            {
                "at": record.at,
                "actor": record.actor,
                "action": record.action,
                "subject": record.subject,
                "outcome": record.outcome,
                "details": as_json(record.details),
            }
            for record in records
        ]
        if rows:
            self._write(lambda connection: connection.execute(_INSERT_AUDIT, rows))

    def prune_audit(self, before: float) -> int:
        """Deletes what happened before `before`; how many records that were."""
        return self._write(lambda connection: connection.execute(_PRUNE_AUDIT, {"before": before}).rowcount)

    def _load(
        self, connection: Connection, task_id: str, token: ClaimToken | None, now: float
    ) -> tuple[Loaded, Attempt | None]:
        before = reading.load(connection, task_id, hold=True)
        if token is not None:
            holder(before.task, token, now)
        return before, _present(connection, before.task)

    def _claim(
        self,
        connection: Connection,
        before: Loaded,
        agent: str,
        lease_seconds: float | None,
        *,
        secret: str,
        now: float,
    ) -> Claimed:
        task = before.task
        held = _present(connection, task) if task.held else None
        change = holding.claim(
            task,
            reading.unmet(connection, task),
            agent=agent,
            claim_hash=hash_of(secret),
            lease_seconds=lease_seconds,
            now=now,
            previous=held,
        )
        saving.save(self._database, connection, before, held, change)
        return Claimed(change.task, ClaimToken(task.id, change.task.epoch, secret))

    def _read(self, question: Callable[[Connection], _T]) -> _T:
        with self._database.reading() as connection:
            return question(connection)

    def _write(self, work: Callable[[Connection], _T]) -> _T:
        if self._broken is not None:
            # A disk that has failed once may say yes the next time and still have lost what came before.
            raise self._broken
        try:
            for _ in range(_TRIES):
                try:
                    with self._database.writing() as connection:
                        return work(connection)
                except Collision:
                    continue
        except BoardBroken as error:
            self._broken = error
            raise
        raise BoardBusy(f"{self.url_shown} is busy: others were faster, {_TRIES} times")

    def __repr__(self) -> str:
        return f"<Store at {self.url_shown}>"


def _present(connection: Connection, task: Task) -> Attempt | None:
    """The attempt of its present epoch; a task that nobody has claimed has none."""
    return reading.attempt(connection, task.number, task.epoch) if task.epoch else None
