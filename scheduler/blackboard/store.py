"""The board: what can be asked of it and done to it. Synchronous; `Board` carries it to threads.

The rule: a verb of the core decides, on a task that nobody else changes meanwhile, and what it decides is
written whole or not at all. When a write returns it is on the disk.

Reads may come from any thread at once; writes too, and SQLite's then wait for each other.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from scheduler.blackboard import (
    agents,
    artifacts,
    audit_rows,
    changing,
    claiming,
    looking,
    outbox_rows,
    reading,
    saving,
    schema,
)
from scheduler.blackboard.artifacts import Received, Receiver, sweep
from scheduler.blackboard.database import Database, open_database
from scheduler.blackboard.queries import Claimed, Page, TaskQuery, Thread
from scheduler.blackboard.transactions import Transactions
from scheduler.core.change import Change
from scheduler.core.claims import ClaimToken
from scheduler.core.records import Attempt, Event, Notice, Output
from scheduler.core.snapshot import AgentRecord, BoardSnapshot
from scheduler.core.states import Status
from scheduler.core.task import Draft, Task, number_of
from shared import clock

if TYPE_CHECKING:  # of no use to one command of the command line, and 20 classes to make
    from scheduler.audit.record import AuditRecord
    from scheduler.core.commands import Explain

BUSY_SECONDS: Final = 10.0


class Store:
    """One board. Owner of the connections to it."""

    def __init__(self, database: Database, artifacts_dir: Path, high_risk: Collection[str] = ()) -> None:
        self.database = database
        self.transactions = Transactions(database)
        self.artifacts = artifacts_dir
        self.high_risk = frozenset(high_risk)

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
            url, create=create, pool_size=pool_size, max_overflow=max_overflow, busy_seconds=busy_seconds
        )
        try:
            schema.prepare(database, create=create)
        except BaseException:
            database.close()
            raise
        sweep(artifacts, clock.wall())
        return cls(database, artifacts, high_risk)

    def close(self) -> None:
        """Closes all connections. Whoever uses the store afterwards opens new ones."""
        self.database.close()

    @property
    def url_shown(self) -> str:
        """The address of the database, for people: without the password."""
        return self.database.shown

    @property
    def most_writers(self) -> int:
        """How many writes make sense at once."""
        return self.database.most_writers

    def size_bytes(self) -> int:
        """What the database takes on its disk."""
        return self.database.size_bytes()

    def check(self) -> None:
        """Whether the board answers. Raises BoardError where it does not."""
        self.transactions.check()
        self.transactions.read(reading.last_event)

    # What is on the board.

    def task(self, task_id: str) -> Task:
        """Raises Refused (`not_found`)."""
        return self.transactions.read(reading.load, task_id).task

    def tasks(self, query: TaskQuery) -> Page:
        """Raises Refused (`invalid`) for a cursor or a limit that is none."""
        return self.transactions.read(reading.page, query)

    def thread(self, task_id: str) -> Thread:
        """Raises Refused (`not_found`)."""
        return self.transactions.read(reading.thread, task_id)

    def outputs(self, task_id: str, epoch: int | None = None) -> tuple[Output, ...]:
        """What was handed in for a task, or in one epoch of it, the oldest first; none for an unknown task.

        Raises Refused (`not_found`) for what is no task id.
        """
        return self.transactions.read(reading.outputs_of, number_of(task_id), epoch)

    def all_outputs(self) -> tuple[Output, ...]:
        """What was ever handed in, the oldest first."""
        return self.transactions.read(reading.all_outputs)

    def attempt(self, task_id: str, epoch: int) -> Attempt | None:
        """Raises Refused (`not_found`) for what is no task id."""
        return self.transactions.read(reading.attempt, number_of(task_id), epoch)

    def counts(self) -> Mapping[Status, int]:
        """How many tasks of each state are not archived."""
        return self.transactions.read(reading.counts)

    def events_after(self, number: int, limit: int = 500) -> Sequence[tuple[int, Event]]:
        """What happened after the event `number`, in its order; nothing appears later in between."""
        return self.transactions.read(reading.events_after, number, limit)

    def last_event(self) -> int:
        """The number of the newest event; 0: nothing has happened yet."""
        return self.transactions.read(reading.last_event)

    def snapshot(self) -> BoardSnapshot:
        """Everything that a tick has to know, at one moment."""
        return self.transactions.read(looking.snapshot)

    def agents(self) -> Mapping[str, AgentRecord]:
        """What is remembered of agents."""
        return self.transactions.read(agents.records)

    def notices_count(self) -> int:
        """How many wait to be told."""
        return self.transactions.read(outbox_rows.count)

    def output_file(self, output: Output) -> Path:
        """Where an output lies."""
        return artifacts.locate(self.artifacts, output)

    # What is done to it. Each is one transaction: all of it or nothing. Raises Refused or BoardError; after
    # BoardUnavailable it may be all of it, since a server can be lost between its commit and its answer.

    def create(self, draft: Draft, *, who: str, now: float) -> Task:
        """Refused: `invalid`, also for what a source has brought before; `not_found` for a dependency."""
        return self.transactions.write(
            changing.create, self.database, draft, high_risk=self.high_risk, who=who, now=now
        )

    def revise(self, task_id: str, fields: Mapping[str, Any], *, who: str, now: float) -> Task:
        """`set`. Refused besides: `not_found` for a dependency, `invalid` for a circle of them."""
        return self.transactions.write(
            changing.revise, self.database, task_id, fields, high_risk=self.high_risk, who=who, now=now
        )

    def claim(
        self, task_id: str, *, agent: str, now: float, lease_seconds: float | None, secret: str | None = None
    ) -> Claimed:
        """`lease_seconds` None: a run will hold it. `secret`: drawn here, unless it is drawn already."""
        return self.transactions.write(
            claiming.claim, self.database, task_id, agent, lease_seconds, secret=secret, now=now
        )

    def claim_next(
        self, *, agent: str, now: float, lease_seconds: float | None, secret: str | None = None
    ) -> Claimed:
        """The most urgent task that `agent` can claim, and of those the one that waits longest.

        After them, what somebody else held under a lease that has ended. Refused: `nothing_claimable`.
        """
        return self.transactions.write(
            claiming.claim_next, self.database, agent, lease_seconds, secret=secret, now=now
        )

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
        return self.transactions.write(changing.change, self.database, task_id, verb, token=token, now=now)

    def change_attempt(
        self, task_id: str, epoch: int, verb: Callable[[Task, Attempt], Change], now: float
    ) -> Change:
        """The same for an attempt of any epoch: a run may end long after its claim did."""
        return self.transactions.write(changing.change_attempt, self.database, task_id, epoch, verb)

    def receiver(self) -> Receiver:
        """For a file that is to be handed in."""
        return Receiver(self.artifacts)

    def receive(self, content: bytes) -> Received:
        """The same for a short file, at once."""
        return artifacts.receive(self.artifacts, content)

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
        try:
            return self.transactions.write(
                changing.hand_in,
                self.database,
                self.artifacts,
                task_id,
                received,
                name=name,
                final=final,
                author=author,
                token=token,
                now=now,
            )
        finally:
            artifacts.discard(received)

    def set_pause(self, agent: str, until: float | None, *, who: str, now: float) -> None:
        """No new runs of `agent` (`*`: of anybody) before `until`; None: it may go on."""
        self.transactions.write(agents.pause, agent, until, who, now)

    def remember_run_seconds(self, agent: str, seconds: float) -> None:
        """How long the runs of `agent` take."""
        self.transactions.write(agents.remember_run_seconds, agent, seconds)

    def explain(self, explanations: "Sequence[Explain]") -> None:
        """Why tasks wait; those that wait no more are left as they are."""
        if explanations:
            self.transactions.write(saving.explain, explanations)

    def archived(self, task_id: str, epoch: int, *, now: float) -> None:
        """The session of that attempt's run has been put away."""
        self.transactions.write(saving.archived, number_of(task_id), epoch, now)

    def tell(self, notices: Sequence[Notice]) -> None:
        """News for the outbox. The same cause again is no news."""
        if notices:
            self.transactions.write(saving.add_records, self.database, notices)

    def write_audit(self, records: "Sequence[AuditRecord]") -> None:
        """All of them, or none."""
        if records:
            self.transactions.write(audit_rows.write, records)

    def prune_audit(self, before: float) -> int:
        """Deletes what happened before `before`; how many records that were."""
        return self.transactions.write(audit_rows.prune, before)

    def prune_notices(self, before: float) -> int:
        """Deletes what was told before `before`, so that its cause would be news again; how many."""
        return self.transactions.write(outbox_rows.prune, before)

    def __repr__(self) -> str:
        return f"<Store at {self.url_shown}>"
