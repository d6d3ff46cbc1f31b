"""`init`, `backup`, `restore`, `doctor`."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from scheduler.cli import doctor
from shared.clock import wall
from tests.edge.scheduler.commands import Shell


@pytest.fixture
def kept(shell: Shell) -> Shell:
    """A board with a task and an output."""
    shell.set(SCHEDULER_STATE_DIR=str(shell.home))
    shell.home.chmod(0o700)
    shell.json("create", "--title", "x")
    shell.json("output", "T-0001", "--text", "hello")
    return shell


def test_init_makes_a_board_and_leaves_one_that_is_there(shell: Shell) -> None:
    shell.set(SCHEDULER_STATE_DIR=f"{shell.home}/a/b")
    made = shell.json("init")
    assert made["database"] == f"sqlite:///{shell.home}/a/b/blackboard.db"
    assert (shell.home / "a/b/blackboard.db").stat().st_mode & 0o777 == 0o600
    assert (shell.home / "a").stat().st_mode & 0o777 == 0o700
    shell.json("create", "--title", "x")
    assert shell("init").code == 0
    assert len(shell.json("list")) == 1


def test_what_was_backed_up_comes_back(kept: Shell) -> None:
    made = kept.json("backup", "copy.db")
    assert (made["backup"], made["size_bytes"] > 0) == (str(kept.home / "copy.db"), True)
    kept.json("create", "--title", "later")
    back = kept.json("restore", "copy.db", "--yes")
    assert len(kept.json("list")) == 1
    assert len(kept.json("list", "--db", f"sqlite:///{back['kept']}")) == 2
    assert "is copied to" in kept("backup", "again.db").out
    assert "What was there before is" in kept("restore", "again.db", "-y").out


def test_a_backup_says_what_it_replaces_and_makes_no_directories(kept: Shell) -> None:
    assert "replaced" not in kept("backup", "copy.db").out
    kept.json("create", "--title", "later")
    assert "replaced" in kept("backup", "copy.db").out
    assert len(kept.json("list", "--db", "sqlite:///copy.db")) == 2
    assert kept.error("backup", "nowhere/copy.db") == (2, "usage")
    assert not (kept.home / "nowhere").exists()


def test_a_restore_that_nobody_confirms_changes_nothing(kept: Shell) -> None:
    kept.json("backup", "copy.db")
    kept.json("create", "--title", "later")
    assert kept.error("restore", "copy.db") == (2, "usage")
    assert len(kept.json("list")) == 2


def test_what_is_no_board_is_not_brought_back(kept: Shell) -> None:
    (kept.home / "junk").write_bytes(b"junk" * 1000)
    with closing(sqlite3.connect(kept.home / "other.db")) as other:
        other.execute("CREATE TABLE songs (title)")
        other.commit()
    for file in ("junk", "other.db", "missing", "."):
        assert kept.error("restore", file, "--yes") == (5, "database_unavailable")
    assert len(kept.json("list")) == 1


def test_a_server_has_its_own_tools_and_nothing_pretends_otherwise(shell: Shell) -> None:
    url = "postgresql://me:canary-password@127.0.0.1:1/board"
    for words in (("backup", "f"), ("restore", "f", "--yes")):
        ended = shell("--json", "--db", url, *words)
        assert ended.error == (2, "by_server")
        assert "pg_" in ended.out
        assert "canary-password" not in ended.out


def verdicts(shell: Shell) -> dict[str, str]:
    ended = shell("doctor", "--json")
    found = {check["name"]: check["status"] for check in ended.json["checks"]}
    assert ended.json["healthy"] is ("bad" not in found.values())
    assert ended.code == (0 if ended.json["healthy"] else 1)
    return found


def test_a_board_in_order_is_healthy(kept: Shell) -> None:
    found = verdicts(kept)
    assert {name: found[name] for name in ("integrity", "board", "clock", "outputs", "state directory")} == {
        "integrity": "ok", "board": "ok", "clock": "ok", "outputs": "ok", "state directory": "ok",
    }  # fmt: skip
    assert "all 1 are there" in kept("doctor").out


def test_doctor_says_what_is_missing(kept: Shell) -> None:
    next(path for path in (kept.home / "artifacts").rglob("output.md")).unlink()
    assert verdicts(kept)["outputs"] == "bad"
    assert "T-0001/0/output.md" in kept("doctor").out


def test_doctor_says_what_others_may_read(kept: Shell) -> None:
    kept.home.chmod(0o755)
    (kept.home / "blackboard.db").chmod(0o644)
    (kept.home / "scheduler-admin-token").write_text("x", encoding="ascii")
    (kept.home / "scheduler-admin-token").chmod(0o644)
    found = verdicts(kept)
    assert (found["state directory"], found["database"], found["admin token"]) == ("warn", "warn", "warn")


def test_doctor_says_that_a_database_is_damaged(kept: Shell) -> None:
    file = kept.home / "blackboard.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    content = bytearray(file.read_bytes())
    content[4096 : 4096 * 8] = bytes(4096 * 7)
    file.write_bytes(content)
    found = verdicts(kept)
    assert "bad" in {found["integrity"], found["board"]}


def test_doctor_says_that_there_is_no_board(shell: Shell) -> None:
    shell.set(SCHEDULER_STATE_DIR=f"{shell.home}/none")
    found = verdicts(shell)
    assert (found["state directory"], found["board"]) == ("warn", "bad")
    assert "outputs" not in found
    assert not (shell.home / "none").exists()


def test_doctor_says_that_the_clock_went_back(kept: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "wall", lambda: wall() - 3600)
    assert verdicts(kept)["clock"] == "warn"


def test_doctor_finds_commands_on_the_path(kept: Shell, tmp_path: Path) -> None:
    command = tmp_path / "openclaw"
    command.write_text("#!/bin/sh\n", encoding="ascii")
    command.chmod(0o755)
    kept.set(PATH=str(tmp_path))
    found = verdicts(kept)
    assert (found["openclaw"], found["multica"]) == ("ok", "warn")
