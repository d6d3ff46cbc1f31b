"""A simulated day, by the daemon's own ticks: what it shows, and that it touches nothing."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from scheduler.blackboard.store import Store
from scheduler.core.states import Status
from scheduler.core.task import Draft, Priority
from scheduler.roster import Roster, load_roster
from scheduler.settings import Settings
from scheduler.simulate.beats import due_times
from scheduler.simulate.copying import board_for
from scheduler.simulate.figures import Fate
from scheduler.simulate.result import Asked, Result, simulate
from scheduler.simulate.tasks import Arrival
from shared import clock
from shared.settings import load
from tests.fresh_board import fresh_board

pytestmark = pytest.mark.integration

TEAM = Path(__file__).parents[3] / "deploy/agents.example.yaml"
START = datetime(2026, 11, 20, 0, 0, tzinfo=UTC).timestamp()
TICK_SECONDS = 60.0

Live = Callable[..., Result]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(
        Settings,
        {"HOME": str(tmp_path), "SCHEDULER_STATE_DIR": str(tmp_path), "SCHEDULER_AGENTS_FILE": str(TEAM)},
        None,
    )


@pytest.fixture
def live(settings: Settings) -> Live:
    def live(arrivals: list[Arrival] | None, *, hours: float, rpm: float = 40, seed: int = 1) -> Result:
        asked = Asked(None, rpm, hours, None if arrivals is None else tuple(arrivals), seed)
        with board_for(settings) as copied:
            return simulate(settings, load_roster(settings), copied, asked, start=START)

    return live


def run(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scheduler", *words],
        env={"PATH": "", "HOME": str(state), "SCHEDULER_STATE_DIR": str(state)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def waited(fate: Fate) -> float:
    assert fate.waited is not None
    return fate.waited


# -- the real roster ------------------------------------------------------------------------------------


def test_no_two_heartbeats_of_the_team_fire_within_ten_seconds_in_a_whole_day(settings: Settings) -> None:
    roster: Roster = load_roster(settings)
    due = due_times(roster, START, START + 86_400)
    assert len(due) == 15
    assert {agent: len(times) for agent, times in due.items()} == {
        agent.id: 144 if agent.heartbeat == "*/10 * * * *" else 96 for agent in roster.agents.values()
    }
    times = sorted(at for mine in due.values() for at in mine)
    assert all(later - earlier >= 10 for earlier, later in pairwise(times))


def test_on_a_day_of_the_team_the_rate_holds_and_an_urgent_card_starts_within_a_tick_and_a_slot(
    live: Live, settings: Settings
) -> None:
    others = [agent for agent in load_roster(settings).agents if agent != "lawyer"]
    ordinary = [
        Arrival(hour * 3600.0 + 97.0 * index, f"{agent} {hour}", agent, Priority.NORMAL)
        for hour in range(0, 6, 2)
        for index, agent in enumerate(others)
    ]
    urgent = [
        Arrival(1_000.0 + 1_117.0 * number, f"Urgent {number}", "lawyer", Priority.URGENT, requests=4)
        for number in range(18)
    ]
    result = live([*ordinary, *urgent], hours=8)
    assert result.requests.most_in_a_minute <= 40
    assert sum(lane.done for lane in result.lanes) == len(ordinary) + len(urgent)
    of_the_lawyer = [fate for fate in result.fates if fate.task.assignee == "lawyer"]
    assert len(of_the_lawyer) == 18
    assert max(map(waited, of_the_lawyer)) <= TICK_SECONDS + 60 / 40
    assert result.beats.closest is not None
    assert result.beats.closest >= 10
    assert result.calls_avoided >= 8 * 60 + result.beats.count - len(result.fates)


def test_where_the_budget_is_small_it_is_kept_and_the_urgent_go_before_the_others(live: Live) -> None:
    agents = ["coo", "secretary", "designer", "lawyer", "architect", "cvexpert", "costcodev"]
    flood = [
        Arrival(float(number), f"{agent} {number}", agent, Priority.NORMAL)
        for number in range(6)
        for agent in agents
    ]
    late = [Arrival(600.0, "Urgent", "opengineer", Priority.URGENT)]
    result = live([*flood, *late], hours=1, rpm=6)
    assert result.requests.most_in_a_minute <= 6
    assert result.requests.sent > 0.4 * result.requests.allowed
    (urgent,) = (fate for fate in result.fates if fate.task.title == "Urgent")
    normal = [fate for fate in result.fates if fate.task.priority is Priority.NORMAL]
    assert any(fate.task.status is Status.PENDING for fate in normal)
    after = [fate for fate in normal if fate.begun_at is None or fate.begun_at > (urgent.begun_at or 0)]
    assert len(after) > len(normal) / 2


# -- as a model -----------------------------------------------------------------------------------------


def test_the_same_seed_is_the_same_day_and_another_one_is_not(live: Live) -> None:
    days = [
        [(fate.task.title, fate.begun_at, fate.finished_at) for fate in live(None, hours=2, seed=seed).fates]
        for seed in (1, 1, 2)
    ]
    assert days[0] == days[1]
    assert days[0] != days[2]


def test_the_clock_of_everybody_else_is_back_afterwards(live: Live) -> None:
    before = clock.wall()
    live([], hours=1)
    assert before <= clock.wall() < before + 60


def test_an_empty_day_asks_for_nothing(live: Live) -> None:
    result = live([], hours=24)
    assert result.requests.sent == 0
    assert result.calls_avoided == 24 * 60 + 1 + result.beats.count


# -- on a copy ------------------------------------------------------------------------------------------


def everything(state: Path) -> dict[str, str]:
    return {
        str(file.relative_to(state)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(state.rglob("*"))
        if file.is_file()
    }


def test_the_board_is_copied_and_nothing_beside_it_changes(tmp_path: Path) -> None:
    store = Store.open(fresh_board(tmp_path / "blackboard.db"), artifacts=tmp_path / "artifacts")
    now = clock.wall()
    first = store.create(Draft("First", assignee="coo", expects=("file:report.md",)), who="ann", now=now)
    draft = Draft("Second", assignee="qa", depends_on=(first.id,), review="agent:coo")
    store.create(draft, who="ann", now=now)
    store.create(Draft("Judged by a person", assignee="qa", review="person"), who="ann", now=now)
    store.create(Draft("Not ours to start"), who="ann", now=now)
    live = store.create(Draft("Under way", assignee="ops"), who="ann", now=now)
    store.claim(live.id, agent="ops", now=now, lease_seconds=None)
    store.close()
    before = everything(tmp_path)
    ended = run(tmp_path, "simulate", "--hours", "2", "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert everything(tmp_path) == before
    value = json.loads(ended.stdout)
    assert value["board"]["copy_of"] == str(tmp_path / "blackboard.db")
    status = {each["title"]: each["status"] for each in value["finished"] if each["id"] <= "T-0005"}
    assert status == {
        "First": "done",
        "Second": "done",
        "Judged by a person": "review",
        "Not ours to start": "pending",
        "Under way": "done",
    }


def test_without_a_board_a_day_is_made_up_and_nothing_is_left_behind(tmp_path: Path) -> None:
    ended = run(tmp_path, "simulate", "--agents", "3", "--hours", "2", "--seed", "5")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("2 hours of 3 agents on 40 requests a minute")
    assert "There is no board to copy yet." in ended.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--rpm", "0"), "--rpm is 0"),
        (("--hours", "nan"), "--hours is nan"),
        (("--agents", "0", "--hours", "-1"), "--agents is 0"),
        (("--tasks", "nowhere.yaml"), "cannot be read"),
    ],
)
def test_what_cannot_be_asked_is_told(tmp_path: Path, words: tuple[str, ...], problem: str) -> None:
    ended = run(tmp_path, "simulate", *words)
    assert ended.returncode == 2
    assert problem in ended.stderr
    told = run(tmp_path, "simulate", "--json", *words)
    assert told.returncode == 2
    assert problem in json.loads(told.stdout)["error"]["message"]


# -- the report, as it is called ------------------------------------------------------------------------


def test_a_report_on_a_board_alone_says_what_it_does_not_know(tmp_path: Path) -> None:
    store = Store.open(fresh_board(tmp_path / "blackboard.db"), artifacts=tmp_path / "artifacts")
    store.create(Draft("Write it *down*", assignee="coo"), who="ann", now=clock.wall())
    store.close()
    text = run(tmp_path, "report", "--since", "1h")
    assert text.returncode == 0, text.stderr
    assert "T-0001 Write it *down* (coo): waits for the next look at the board" in text.stdout
    markdown = run(tmp_path, "report", "--markdown").stdout
    assert "\n## Open\n" in markdown
    assert "\\*down\\*" in markdown
    value = json.loads(run(tmp_path, "report", "--json").stdout)
    assert [each["sentence"] for each in value["open"]["tasks"]] == ["waits for the next look at the board"]


def test_a_report_without_a_board_and_one_since_nowhere_are_refused(tmp_path: Path) -> None:
    away = run(tmp_path, "report", "--json")
    assert (away.returncode, json.loads(away.stdout)["error"]["code"]) == (5, "unavailable")
    assert list(tmp_path.iterdir()) == []
    wrong = run(tmp_path, "report", "--since", "25:00")
    assert wrong.returncode == 2
    assert "--since is '25:00'" in wrong.stderr
