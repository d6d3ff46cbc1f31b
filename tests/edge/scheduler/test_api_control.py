"""The daemon over HTTP."""

from importlib.metadata import version
from math import inf

import pytest
import trio
from trio.testing import MockClock

from scheduler.api.control import PATIENCE_SECONDS
from scheduler.blackboard.errors import BoardUnavailable
from scheduler.blackboard.store import Store
from shared import clock
from tests.edge.scheduler.office import TASKS, Office


async def test_health_is_what_its_components_are(office: Office) -> None:
    well = await office.get("/health")
    assert set(well) == {"status", "version", "components", "timestamp"}
    assert set(well["components"]) == {"database", "audit_logger", "sidecar", "openclaw", "sources", "alerts"}
    assert (well["status"], well["components"]["database"]) == ("healthy", {"status": "healthy"})
    assert well["version"] == version("clawpace")
    office.desk.components["openclaw"] = {"status": "unknown"}
    assert (await office.get("/health"))["status"] == "healthy", "nobody has asked it yet"
    office.desk.components["openclaw"] = {"status": "unavailable", "reason": "no such command"}
    assert (await office.get("/health"))["status"] == "degraded"
    office.desk.components["openclaw"] = {"status": "healthy"}
    office.desk.components["sources"] = {"multica": {"status": "unavailable"}}
    assert (await office.get("/health"))["status"] == "degraded"


async def test_health_is_503_only_without_the_database(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Store) -> None:
        raise BoardUnavailable("no such file")

    monkeypatch.setattr(Store, "check", away)
    talk = await office.ask("GET", "/health", token=None)
    assert (talk.status, talk.json["status"]) == (503, "unhealthy")
    assert talk.json["components"]["database"] == {"status": "unhealthy", "reason": "no such file"}


async def test_a_database_that_does_not_answer_is_away_as_well(
    autojump_clock: MockClock, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(*_: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(office.board, "read", hangs)
    talk = await office.ask("GET", "/health", token=None)
    assert (talk.status, talk.json["status"]) == (503, "unhealthy")
    assert trio.current_time() == PATIENCE_SECONDS


async def test_the_version_is_the_packages(office: Office) -> None:
    assert await office.get("/version") == {"version": version("clawpace")}


async def test_the_page_runs_nothing(office: Office) -> None:
    talk = await office.ask("GET", "/", token=None)
    assert (talk.status, talk.header(b"content-type")) == (200, b"text/html; charset=utf-8")
    assert (talk.header(b"content-security-policy") or b"").startswith(b"default-src 'none'")
    assert b"<script" not in talk.body
    assert b"style" not in talk.body


async def test_status_tells_what_the_daemon_and_what_the_board_know(office: Office) -> None:
    await office.create()
    blocked = await office.create()
    await office.post(f"{TASKS}/{blocked}/block", {"reason": "a question"})
    status = await office.get("/api/daemon/status")
    assert set(status) == {
        "ticker_running",
        "last_tick",
        "next_tick",
        "tick_interval_seconds",
        "last_tick_seconds",
        "last_tick_report",
        "active_sessions",
        "blackboard_db_size_bytes",
        "tasks_summary",
        "capacity",
        "paused",
        "calls_avoided",
        "heartbeats_avoided",
        "heartbeats",
    }
    assert status["tasks_summary"] == {
        "pending": 1,
        "claimed": 0,
        "working": 0,
        "review": 0,
        "done": 0,
        "blocked": 1,
        "failed": 0,
    }
    assert status["blackboard_db_size_bytes"] > 0
    assert status["paused"] == []


async def test_ticks_can_be_run_stopped_and_started(office: Office) -> None:
    assert await office.post("/api/daemon/tick") == {"started": 0}
    assert office.desk.ticks == 1
    assert await office.post("/api/daemon/stop") == {"ticker_running": False}
    assert (await office.get("/api/daemon/status"))["ticker_running"] is False
    assert await office.post("/api/daemon/start") == {"ticker_running": True}
    assert office.desk.ticking
    assert office.denials.changes == [
        ("admin", "ticker", {"running": False}),
        ("admin", "ticker", {"running": True}),
    ]


async def test_a_pause_is_kept_and_told_until_it_is_over(office: Office) -> None:
    before = clock.wall()
    one = await office.post("/api/daemon/pause", {"agent": "coo", "for_seconds": 3600})
    assert (one["agent"], one["paused"]) == ("coo", True)
    assert clock.rfc3339(before + 3600) <= one["until"] <= clock.rfc3339(clock.wall() + 3600)
    everybody = await office.post("/api/daemon/pause")
    assert everybody == {"agent": None, "paused": True, "until": None}
    assert office.store.agents()["*"].paused_until == inf
    paused = (await office.get("/api/daemon/status"))["paused"]
    assert sorted(paused, key=str) == sorted(
        [{"agent": "coo", "until": one["until"]}, {"agent": None, "until": None}], key=str
    )
    assert office.desk.changes == 0
    assert await office.post("/api/daemon/resume") == {"agent": None, "paused": False, "until": None}
    assert office.desk.changes == 1
    assert [entry["agent"] for entry in (await office.get("/api/daemon/status"))["paused"]] == ["coo"]
    office.store.set_pause("coo", clock.wall() - 1, who="test", now=clock.wall())
    assert (await office.get("/api/daemon/status"))["paused"] == []
    assert [(subject, details["paused"]) for _, subject, details in office.denials.changes] == [
        ("coo", True),
        ("*", True),
        ("*", False),
    ]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("pause", {"for_seconds": 0}),
        ("pause", {"for_seconds": -1}),
        ("pause", {"for_seconds": 1e300}),
        ("pause", {"for_seconds": "3600"}),
        ("pause", {"agent": "*"}),
        ("pause", {"agent": ""}),
        ("pause", {"agent": "Nobody At All"}),
        ("pause", {"agents": ["coo"]}),
        ("resume", {"agent": "../x"}),
        ("resume", {"for_seconds": 1}),
        ("tick", {"now": True}),
        ("reload", {"file": "/etc/passwd"}),
        ("stop", {"x": 1}),
        ("start", {"x": 1}),
    ],
)
async def test_what_cannot_be_meant_changes_nothing(office: Office, path: str, body: object) -> None:
    assert await office.error("POST", f"/api/daemon/{path}", body) == (422, "invalid")
    assert office.store.agents() == {}
    assert (office.desk.ticks, office.desk.ticking, office.desk.changes) == (0, True, 0)


async def test_the_roster_is_read_again_or_everything_that_is_wrong_with_it_is_told(office: Office) -> None:
    team = {"agents": 2, "ids": ["coo", "ops"], "file": "/etc/clawpace/agents.yaml"}
    assert await office.post("/api/daemon/reload") == team
    assert office.denials.changes == [("admin", "roster", team)]
    office.desk.roster_problems = ("agents.coo.class is 'x'; expected one of ...", "timezone is 'Mars'")
    refused = await office.ask("POST", "/api/daemon/reload", {})
    assert (refused.status, refused.error) == (422, "invalid")
    for problem in office.desk.roster_problems:
        assert problem in refused.json["error"]["message"]
    assert await office.error("POST", "/api/daemon/reload", {}, token=None) == (401, "unauthorized")


async def test_a_fault_is_told_without_its_cause(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks() -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(office.desk, "tick", breaks)
    talk = await office.ask("POST", "/api/daemon/tick", {})
    assert (talk.status, talk.error) == (500, "internal_error")
    assert b"secret" not in talk.body
