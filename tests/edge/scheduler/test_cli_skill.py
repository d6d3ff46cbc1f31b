"""`blackboard skill install`: the page that teaches agents the board."""

import sys
from pathlib import Path

import pytest
import yaml

from scheduler.cli.__main__ import app
from tests.edge.scheduler.commands import Shell

COMMAND = str(Path(sys.executable).parent / "blackboard")


@pytest.fixture
def page(shell: Shell) -> Path:
    """Where it will be."""
    (shell.home / "workspace").mkdir()
    return shell.home / "workspace/skills/blackboard/SKILL.md"


def test_the_page_has_the_frontmatter_that_openclaw_reads_and_whole_commands(
    shell: Shell, page: Path
) -> None:
    told = shell.json("skill", "install", "workspace")
    assert told == {"skill": str(page), "changed": True, "kept": None}
    text = page.read_text()
    about = yaml.safe_load(text.split("---\n")[1])
    assert set(about) == {"name", "description"}
    assert about["name"] == "blackboard"
    assert "{blackboard}" not in text
    for words in ("heartbeat", "output --file report.md --final", "block", "comment", "claim --next"):
        assert words in text
    assert f"\n{COMMAND} --ticket FILE read" in text


def test_every_command_on_the_page_is_one(shell: Shell, page: Path) -> None:
    shell.json("skill", "install", "workspace")
    lines = [line for line in page.read_text().splitlines() if line.startswith(COMMAND)]
    assert len(lines) > 8
    known = {command.name for command in app.registered_commands}
    for line in lines:
        words = line.removeprefix(COMMAND).replace("--ticket FILE", "").split()
        assert words[0] in known, line


def test_a_second_time_nothing_happens(shell: Shell, page: Path) -> None:
    shell.json("skill", "install", "workspace")
    assert shell.json("skill", "install", "workspace") == {"skill": str(page), "changed": False, "kept": None}
    assert "already" in shell("skill", "install", "workspace").out
    assert [file.name for file in page.parent.iterdir()] == ["SKILL.md"]


def test_a_page_of_another_release_is_brought_up_to_date(
    shell: Shell, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/old release/bin/python")
        shell.json("skill", "install", "workspace")
        assert "'/old release/bin/blackboard' --ticket" in page.read_text()
    assert shell.json("skill", "install", "workspace")["kept"] is None
    assert COMMAND in page.read_text()


@pytest.mark.parametrize("written", [b"mine", b"\xff\xfe", b""])
def test_a_page_that_somebody_wrote_or_edited_is_kept_beside_the_new_one(
    shell: Shell, page: Path, written: bytes
) -> None:
    page.parent.mkdir(parents=True)
    page.write_bytes(written)
    kept = Path(shell.json("skill", "install", "workspace")["kept"])
    assert kept.read_bytes() == written
    edited = page.read_text().replace("data about a task", "law")
    page.write_text(edited)
    told = shell("skill", "install", "workspace")
    second = page.with_name("SKILL.md.kept-2")
    assert str(second) in told.out
    assert (kept.read_bytes(), second.read_text()) == (written, edited)
    assert "data about a task" in page.read_text()


def test_a_workspace_that_is_not_there_is_not_made(shell: Shell) -> None:
    assert shell.error("skill", "install", "nowhere") == (2, "usage")
    assert not (shell.home / "nowhere").exists()
    (shell.home / "file").write_text("")
    assert shell.error("skill", "install", "file") == (2, "usage")


def test_where_it_cannot_be_written_that_is_said(shell: Shell, page: Path) -> None:
    (shell.home / "workspace/skills").write_text("a file, not a directory")
    assert shell.error("skill", "install", "workspace") == (1, "io_error")


@pytest.mark.parametrize("words", [("skill",), ("skill", "remove"), ("skill", "install")])
def test_anything_else_is_a_wrong_command_line(shell: Shell, words: tuple[str, ...]) -> None:
    assert shell.error(*words) == (2, "usage")
