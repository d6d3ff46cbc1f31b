"""`agent-scheduler heartbeat AGENT`: what it shows, what it writes, and what it says where it cannot."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scheduler.__main__ import main
from scheduler.blackboard import beats
from scheduler.blackboard.store import Store
from scheduler.core.beats import Beat, Planned
from scheduler.heartbeats.showing import _print_items
from shared import clock
from tests.core.scheduler.items import an_item
from tests.edge.scheduler.commands import OURS
from tests.fresh_board import fresh_board
from tests.on_the_board import history

Run = Callable[..., tuple[int, str, str]]

ROSTER = """
timezone: Asia/Shanghai
agents:
  coo: {label: 陆怀瑾, class: frequent, todo_files: [todo.md], checks: [risks], checks_every: 1h}
  ops: {heartbeat: "0 0 */15 2 MON#5"}
"""
DAY = 86_400.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "agents.yaml").write_text(ROSTER, encoding="utf-8")
    (tmp_path / "todo.md").write_text(
        "- [ ] write it down\n- [ ] \x1b[31mred\n- [x] done\n", encoding="utf-8"
    )
    (tmp_path / "state").mkdir(mode=0o700)
    fresh_board(tmp_path / "state/blackboard.db")
    return tmp_path


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line in this process, in surroundings of its own."""
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
    for name, value in {
        "HOME": str(home),
        "SCHEDULER_STATE_DIR": str(home / "state"),
        "SCHEDULER_AGENTS_FILE": str(home / "agents.yaml"),
        "SCHEDULER_RUNNER": "demo",
    }.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["agent-scheduler", "heartbeat", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{home}/state/blackboard.db", artifacts=home / "artifacts")
    yield opened
    opened.close()


def asked(run: Run, *words: str) -> dict[str, Any]:
    code, out, err = run("coo", "--json", *words)
    assert (code, err, out.count("\n")) == (0, "", 1)
    answer: dict[str, Any] = json.loads(out)
    return answer


def test_the_next_one_is_told_by_the_clocks_of_the_zone_beside_it(run: Run, store: Store) -> None:
    due = [asked(run, "--dry-run")["next_due"]]
    first = run("coo", "--dry-run")[1].splitlines()[0]
    due.append(asked(run, "--dry-run")["next_due"])  # it may have come meanwhile
    there = [f"{datetime.fromisoformat(each).astimezone(ZoneInfo('Asia/Shanghai')):%F %T}" for each in due]
    assert first.rpartition(": ")[2] in there


def test_a_dry_run_shows_what_waits_and_would_be_done_and_writes_nothing(run: Run, store: Store) -> None:
    code, out, err = run("coo", "--dry-run")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(
        "coo (陆怀瑾): */10 * * * * in Asia/Shanghai, 10 s later; the next by itself: "
    )
    assert lines[1].split() == ["SOURCE", "ID", "PRIORITY", "TITLE", "PLACE"]
    assert "write it down" in lines[2]
    assert "todo.md:1" in lines[2]
    assert "\x1b" not in out
    assert "Would be on the board: write it down" in out
    assert lines[-2:] == ["Result: 2 new", "Nothing was written: this was a dry run."]
    assert store.last_event() == 0
    assert history(store, "coo") == []


def test_in_json_it_is_one_value_with_everything(run: Run) -> None:
    found = asked(run, "--dry-run")
    assert (found["agent"], found["label"], found["dry_run"]) == ("coo", "陆怀瑾", True)
    assert (found["heartbeat"], found["timezone"], found["phase_seconds"]) == (
        "*/10 * * * *",
        "Asia/Shanghai",
        10,
    )
    assert (found["found"], found["started"], found["failed"], found["unavailable"]) == (2, 2, 0, {})
    assert found["items"][0]["source"] == "todo"
    assert found["items"][0]["title"] == "write it down"
    assert found["new"][0] == "write it down"
    assert found["next_due"].endswith("Z")


def test_without_it_what_is_new_is_on_the_board_and_the_heartbeat_written_down(
    run: Run, store: Store
) -> None:
    found = asked(run)
    assert (found["dry_run"], found["started"], found["new"]) == (False, 2, ["T-0001", "T-0002"])
    assert store.task("T-0001").title == "write it down"
    (beat,) = history(store, "coo")
    assert (beat.found, beat.started, beat.reason) == (2, 2, "2 new")
    again = asked(run)
    assert (again["started"], again["unchanged"], again["reason"]) == (0, True, "nothing new")
    assert len(history(store, "coo")) == 2


def test_what_is_planned_stays_planned(run: Run, store: Store) -> None:
    beats.plan(store, {"coo": Planned("coo", clock.wall() + DAY, "a rule")}, clock.wall())
    planned = beats.kept(store, clock.wall())["coo"].planned
    assert planned is not None
    assert asked(run)["next_due"] == clock.rfc3339(planned.due_at)
    assert beats.kept(store, clock.wall())["coo"].planned == planned


def test_an_agents_own_checks_are_seen_to(run: Run, store: Store) -> None:
    yesterday = clock.wall() - DAY
    beats.note(store, Beat("coo", yesterday, yesterday))
    would_be = asked(run, "--dry-run")
    assert would_be["checks"].startswith("checks:coo:")
    assert store.last_event() == 0
    done = asked(run)
    assert done["new"] == ["T-0001", "T-0002", "T-0003"]
    assert store.task("T-0003").external_id == done["checks"]


def test_an_agent_without_anything_has_a_heartbeat_all_the_same(run: Run) -> None:
    code, out, err = run("ops")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "ops: 0 0 */15 2 MON#5 in Asia/Shanghai; the next by itself: never",
        "Nothing waits in its sources.",
        "Result: nothing new",
    ]


def test_a_source_that_is_away_is_said(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "agents.yaml").write_text(ROSTER + "  writer: {multica_id: abc}\n", encoding="utf-8")
    monkeypatch.setenv("SCHEDULER_MULTICA", str(home / "no-such-command"))
    code, out, _ = run("writer")
    assert code == 0
    assert "Result: multica is away: " in out


def test_an_unknown_agent_is_told_who_there_is(run: Run) -> None:
    code, out, err = run("nobody")
    assert (code, out) == (3, "")
    assert err == "there is no agent 'nobody': the roster has coo, ops\n"
    code, out, err = run("nobody", "--json")
    assert (code, err) == (3, "")
    assert json.loads(out) == {
        "error": {"code": "not_found", "message": "there is no agent 'nobody': the roster has coo, ops"}
    }


def test_an_empty_roster_says_so(run: Run, home: Path) -> None:
    (home / "agents.yaml").write_text("", encoding="utf-8")
    assert run("coo")[2] == "there is no agent 'coo': the roster is empty\n"


def test_a_roster_that_is_wrong_is_told_as_at_the_start(run: Run, home: Path) -> None:
    (home / "agents.yaml").write_text("agents: 5\n", encoding="utf-8")
    code, out, err = run("coo")
    assert (code, out) == (2, "")
    assert "agents" in err
    code, out, _ = run("coo", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "invalid")


def test_a_board_that_is_none_is_said(run: Run, home: Path) -> None:
    (home / "state/blackboard.db").write_bytes(b"no database, but long enough to be looked at" * 100)
    code, out, err = run("coo")
    assert (code, out) == (5, "")
    assert err.count("\n") == 1
    assert json.loads(run("coo", "--json")[1])["error"]["code"] == "unavailable"


def test_it_is_listed_in_the_help(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert "--dry-run" in out


def test_a_place_is_shown_where_it_says_more_than_the_id(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    number = "1a2b3c4d-0000-4000-8000-000000000000"
    card = an_item(
        external_id=number, title="The chapter about the sea", place=f"WorkBoard card {number[:8]}"
    )
    _print_items([card])
    assert "PLACE" not in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _print_items([card, replace(card, place="Multica issue SEA-12")])
    shown = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, shown)) <= 80
    assert sum(number in line for line in shown) == 2
    assert "PLACE" in shown[0]
