"""What the watchman is shown of the rest, and what the audit log hears of it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from scheduler.assembly.team import _facts, _outside
from scheduler.assembly.wires import Wires
from scheduler.audit.log import AuditLog
from scheduler.audit.memory import MemoryStore
from scheduler.blackboard.board import Board
from scheduler.blackboard.store import Store
from scheduler.core.beats import Beat
from scheduler.core.capacity import Capacity
from scheduler.core.sighting import Sighting
from scheduler.metrics import Metrics
from scheduler.report.model import Daemon
from scheduler.roster.complete import complete
from scheduler.roster.file import RosterFile
from shared.redaction import Redactor
from tests.fresh_board import fresh_board

AT = 1_800_000_000.0
AWAY = Capacity.unknown("the sidecar cannot be reached")


def a_ticker(**says: Any) -> Any:
    state = {
        "running": True,
        "capacity": AWAY,
        "capacity_at": AT,
        "sighting": Sighting(up=False, error="ECONNREFUSED", at=AT + 1),
        "activities": (),
        "calls_avoided": 17,
        "heartbeats_avoided": 5,
    }
    return SimpleNamespace(**(state | says))


async def facts_of(ticker: Any, tmp_path: Path) -> Any:
    settings = SimpleNamespace(sidecar_url="http://127.0.0.1:9190", runner="openclaw", state_dir=tmp_path)
    store = Store.open(fresh_board(tmp_path / "board.db"), artifacts=tmp_path / "artifacts")
    try:
        return await _facts(cast(Any, settings), Board(store), ticker, {})
    finally:
        store.close()


async def test_what_was_seen_is_told_with_the_time_when_it_was(tmp_path: Path) -> None:
    facts = await facts_of(a_ticker(), tmp_path)
    assert (facts.capacity, facts.capacity_at) == (AWAY, AT)
    assert (facts.gateway_up, facts.gateway_error, facts.gateway_at) == (False, "ECONNREFUSED", AT + 1)


async def test_while_the_ticker_is_stopped_what_it_saw_last_is_not_taken_for_now(tmp_path: Path) -> None:
    facts = await facts_of(a_ticker(running=False), tmp_path)
    assert (facts.capacity, facts.gateway_up, facts.work) == (None, None, None)


async def test_before_the_first_look_nothing_is_known(tmp_path: Path) -> None:
    facts = await facts_of(a_ticker(capacity_at=0.0, sighting=Sighting(up=False)), tmp_path)
    assert (facts.capacity, facts.gateway_up) == (None, None)


async def test_the_report_is_handed_both_counts_of_calls_avoided() -> None:
    outside = await _outside(cast(Any, SimpleNamespace(sidecar_url="")), a_ticker(), {})
    assert outside.daemon == Daemon(17, heartbeats_avoided=5)
    assert isinstance(outside.daemon, Daemon)
    assert outside.daemon.looks_avoided == 12


def wires() -> tuple[Wires, MemoryStore, AuditLog]:
    kept = MemoryStore()
    audit = AuditLog(kept, Redactor(), batch_size=10, flush_seconds=10, retention_days=1)
    return Wires(audit, Metrics()), kept, audit


async def test_a_roster_that_was_read_again_stands_in_the_audit_log() -> None:
    made, kept, audit = wires()
    made.roster_changed(complete(RosterFile()))
    await audit.flush()
    (record,) = kept.records
    assert (record.action, record.subject, record.actor) == ("config_changed", "roster", "scheduler")
    assert record.details == {"agents": 0}


async def test_a_heartbeat_that_called_no_model_is_no_look_at_the_board() -> None:
    made, _, _ = wires()
    counted: list[str] = []
    made.ticker = cast(Any, SimpleNamespace(heartbeat_avoided=lambda: counted.append("heartbeat")))
    made.beaten(Beat("coo", AT, AT, unchanged=True))
    made.beaten(Beat("coo", AT, AT, ok=False, unchanged=True))
    assert counted == ["heartbeat"]
