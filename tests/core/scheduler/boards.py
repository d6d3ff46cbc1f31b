"""Tasks, attempts and worlds for tests: everything that a test does not care about has a value."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import pytest

from scheduler.core.capacity import Capacity
from scheduler.core.change import Change
from scheduler.core.claims import hash_of
from scheduler.core.errors import Code, Refused
from scheduler.core.records import Attempt, Comment, Event, Notice, Output, Run
from scheduler.core.rules import AgentRules, Rules
from scheduler.core.sighting import RunSeen, RunState, Sighting
from scheduler.core.snapshot import BoardSnapshot, Waiting
from scheduler.core.states import Status
from scheduler.core.task import BlockedBy, Draft, Task
from scheduler.core.world import World

NOW: Final = 1_800_000_000.0
SECRET: Final = "s" * 32
HIGH_RISK: Final = ("delete_file", "execute_code", "modify_database")


@contextmanager
def refused(code: Code) -> Iterator[None]:
    """The rules say no, and say why."""
    with pytest.raises(Refused) as caught:
        yield
    assert caught.value.code is code
    assert caught.value.message == str(caught.value) != ""


def a_draft(**fields: Any) -> Draft:
    return Draft(**({"title": "Write the report"} | fields))


def a_task(**fields: Any) -> Task:
    """Pending, for an hour."""
    hour_ago = NOW - 3600
    task = Task(1, "Write the report", hour_ago, hour_ago, creator="ann", pending_since=hour_ago)
    return replace(task, **fields)


def held(
    status: Status = Status.CLAIMED, run: Run = Run.STARTED, since: float = 60.0, **fields: Any
) -> tuple[Task, Attempt]:
    """Claimed by `coder` a minute ago: by its run, or by hand for half an hour (`run` NONE)."""
    begun = NOW - since
    lease = begun + 1800 if run is Run.NONE else None
    given = {
        "status": status,
        "claimant": "coder",
        "claim_hash": hash_of(SECRET),
        "epoch": 1,
        "attempt": 1,
        "progress_at": begun,
        "lease_until": lease,
        "pending_since": None,
    }
    task = a_task(**(given | fields))
    started = begun if run is Run.STARTED else None
    return task, Attempt(task.id, task.epoch, task.claimant or "coder", begun, run, started)


def blocked(by: BlockedBy = BlockedBy.HAND, **fields: Any) -> Task:
    given = {"status": Status.BLOCKED, "blocked_by": by, "blocked_reason": "which colour?"}
    return a_task(**(given | fields))


def an_output(task: Task, *, final: bool = True, name: str = "report.md", size_bytes: int = 5) -> Output:
    return Output(task.id, task.epoch, name, "coder", NOW, size_bytes, "0" * 64, f"{task.id}/{name}", final)


def waiting(number: int = 1, **fields: Any) -> Waiting:
    """As the snapshot shows a pending task of `coder`'s."""
    row = Waiting(
        number=number,
        status=Status.PENDING,
        priority=2,
        assignee="coder",
        pending_since=NOW - 3600,
        not_before=None,
        has_dependencies=False,
        dependencies_met=False,
        dependency_notified=False,
        waiting_because=None,
        expected_start_at=None,
    )
    return row._replace(**fields)


def seen(attempt: Attempt, state: RunState = RunState.RUNNING, **fields: Any) -> RunSeen:
    return RunSeen(attempt.run_id, state, **fields)


def sighting(*runs: RunSeen, at: float = NOW - 1, busy: Mapping[str, float] | None = None) -> Sighting:
    return Sighting(up=True, at=at, runs={each.run_id: each for each in runs}, busy_agents=busy or {})


def a_world(board: BoardSnapshot, look: Sighting | None = None, **fields: Any) -> World:
    """The gateway answers, the sidecar is away, the rules are the defaults."""
    given: dict[str, Any] = {
        "capacity": Capacity.unknown("nobody has asked"),
        "rules": Rules(agents={"tester": AgentRules(notify=("creator",))}),
        "next_tick_at": NOW + 60,
    }
    return World(board=board, sighting=look or sighting(), **(given | fields))


def budget(spare_rpm: float = 40.0, **fields: Any) -> Capacity:
    return Capacity(known=True, spare_rpm=spare_rpm, effective_rpm=40.0, **fields)


def events(change: Change) -> list[tuple[str, Status | None, Status]]:
    return [
        (each.what, each.from_status, each.to_status) for each in change.records if isinstance(each, Event)
    ]


def comments(change: Change) -> list[str]:
    return [each.text for each in change.records if isinstance(each, Comment)]


def told(change: Change) -> list[str]:
    return [each.to for each in change.records if isinstance(each, Notice)]
