"""`agent-scheduler openclaw plan | apply | undo`: what is shown, asked, made, taken back; and what fails."""

import io
import json
import os
import shlex
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scheduler.__main__ import main
from scheduler.openclaw_setup import command
from scheduler.openclaw_setup.roster_text import CannotAddError, with_agents
from scheduler.openclaw_setup.saved import NAME, write_whole
from scheduler.roster import read_roster
from shared.errors import StartError
from tests.edge.scheduler import openclaw_configured

KEY = "nvapi-canary-0123456789-stays-inside"
ORIGINAL = "// Mine. Nobody touches it.\n" + json.dumps(
    {
        "models": {
            "providers": {
                "nvidia": {
                    "baseUrl": "https://integrate.api.nvidia.com/v1",
                    "apiKey": KEY,
                    "models": [{"id": "deepseek-ai/deepseek-v3", "name": "V3", "headers": {"X-Own": KEY}}],
                }
            }
        },
        "agents": {"defaults": {"heartbeat": {"every": "30m"}}, "entries": {"main": {}}},
        "unknown": {"keys": ["stay"]},
    }
)
BEAT = {
    "id": "b-1",
    "name": "beat",
    "agentId": "main",
    "enabled": True,
    "schedule": {"kind": "every", "everyMs": 600_000},
    "payload": {"kind": "agentTurn"},
}
PLAYED: dict[str, Any] = {
    "agents": [{"id": "main", "model": "nvidia/deepseek-ai/deepseek-v3"}, {"odd": 1}],
    "jobs": [BEAT],
    "down": False,
    "valid": True,
    "no_models": False,
    "no_agents": False,
    "refused": "",
    "dry_run_errors": [],
    "meddled_with": False,
    "patch_refused": False,
    "forgets": False,
}


@dataclass
class Said:
    code: int
    out: str
    err: str


class Place:
    """An OpenClaw that is played, and our command beside it."""

    def __init__(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.directory, self._monkeypatch, self._capsys = directory, monkeypatch, capsys
        self.file, self.state = directory / "openclaw.json", directory / "state"
        self.file.write_text(ORIGINAL)
        self.file.chmod(0o640)
        self.play()
        command = [sys.executable, openclaw_configured.__file__, str(directory)]
        for name in [name for name in os.environ if name.startswith("SCHEDULER_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("SCHEDULER_OPENCLAW", shlex.join(command))
        monkeypatch.setenv("SCHEDULER_STATE_DIR", str(self.state))
        # Nothing listens there: a warning.
        monkeypatch.setenv("SCHEDULER_SIDECAR_URL", "http://127.0.0.1:9")

    def play(self, **more: Any) -> None:
        (self.directory / "played.json").write_text(json.dumps({**self.played(), **more}))

    def played(self) -> dict[str, Any]:
        file = self.directory / "played.json"
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else PLAYED
        return found

    def config(self) -> Any:
        return openclaw_configured.read(self.file)

    def run(self, *argv: str, typed: str | None = None, **environ: str) -> Said:
        with self._monkeypatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            terminal = io.StringIO(typed or "")
            patch.setattr(terminal, "isatty", lambda: typed is not None)
            patch.setattr(sys, "stdin", terminal)
            patch.setattr(sys, "argv", ["agent-scheduler", "openclaw", *argv])
            with pytest.raises(SystemExit) as ended:
                main()
        out, err = self._capsys.readouterr()
        code = ended.value.code
        said = Said(code if isinstance(code, int) else 0, out, err)
        assert KEY not in said.out + said.err
        return said

    def is_untouched(self) -> bool:
        same = self.file.read_text() == ORIGINAL and stat.S_IMODE(self.file.stat().st_mode) == 0o640
        return same and self.played()["jobs"] == [BEAT] and not (self.state / NAME).exists()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Place:
    return Place(tmp_path, monkeypatch, capsys)


def test_a_plan_shows_what_is_and_what_is_to_be_and_changes_nothing(place: Place) -> None:
    said = place.run("plan")
    assert said.code == 0
    assert "models.providers.nvidia.baseUrl" in said.out
    assert '  - "https://integrate.api.nvidia.com/v1"\n  + "http://127.0.0.1:9/v1"' in said.out
    assert "automation beat (main, every 10 min; b-1)\n  - enabled\n  + disabled" in said.out
    assert "the sidecar cannot be reached" in said.out
    assert "not in the roster: main" in said.out
    assert place.is_untouched()


def test_a_plan_as_json_is_one_value(place: Place) -> None:
    plan = json.loads(place.run("plan", "--json").out)
    assert plan["file"] == str(place.file)
    (heartbeat,) = (each for each in plan["changes"] if "heartbeat" in each["path"])
    assert (heartbeat["before"], heartbeat["after"]) == ("30m", "0m")
    (board,) = (each for each in plan["changes"] if each["path"][:2] == ["mcp", "servers"])
    assert "before" not in board
    assert board["after"] == {"url": "http://127.0.0.1:8083/mcp", "transport": "streamable-http"}
    assert [each["id"] for each in plan["automations"]] == ["b-1"]
    assert plan["newcomers"] == ["main"]


def test_applied_and_undone_the_file_is_what_it_was_to_the_byte(place: Place) -> None:
    applied = place.run("apply", "--yes")
    assert applied.code == 0
    assert "The gateway has taken it over" in applied.out
    providers = place.config()["models"]["providers"]
    assert providers["nvidia"]["apiKey"] == KEY
    assert providers["nvidia"]["models"][0]["headers"] == {"X-Own": KEY}
    assert providers["nvidia-urgent"]["headers"] == {"X-Priority": "urgent"}
    assert place.config()["unknown"] == {"keys": ["stay"]}
    assert place.played()["jobs"][0]["enabled"] is False
    undo = place.state / NAME
    assert stat.S_IMODE(undo.stat().st_mode) == 0o600
    again = place.run("apply")
    assert (again.code, "there is nothing to change" in again.out) == (0, True)
    undone = place.run("undo", "--yes")
    assert (undone.code, "Done." in undone.out) == (0, True)
    assert place.is_untouched()
    assert "nothing to take back" in place.run("undo").out


def test_as_json_apply_and_undo_say_what_they_did(place: Place) -> None:
    applied = json.loads(place.run("apply", "--yes", "--json").out)
    assert (applied["applied"], applied["added_agents"]) == (True, [])
    undone = json.loads(place.run("undo", "--yes", "--json").out)
    assert (undone["undone"], undone["notes"]) == (1, [])
    assert json.loads(place.run("undo", "--json").out)["undone"] == 0


def test_two_applies_are_taken_back_together_to_the_byte(place: Place) -> None:
    place.run("apply", "--yes")
    place.play(agents=[*PLAYED["agents"], {"id": "ops", "model": "nvidia/deepseek-ai/deepseek-v3"}])
    place.run("apply", "--yes")
    assert "ops" in place.config()["agents"]["entries"]
    place.run("undo", "--yes")
    assert place.file.read_text() == ORIGINAL


def test_what_others_changed_since_stays_and_the_rest_is_taken_back(place: Place) -> None:
    place.run("apply", "--yes")
    config = place.config()
    config["agents"]["defaults"]["heartbeat"]["every"] = "2h"
    config["mine"] = 1
    place.file.write_text(json.dumps(config))
    undone = place.run("undo", "--yes")
    assert undone.code == 0
    assert "agents.defaults.heartbeat.every: something else stands there by now" in undone.out
    now, was = place.config(), json.loads(ORIGINAL.split("\n", 1)[1])
    assert now["models"] == was["models"]
    assert (now["agents"]["defaults"], now["mine"]) == ({"heartbeat": {"every": "2h"}}, 1)
    assert "mcp" not in now
    kept = place.state / "openclaw.json.before"
    assert kept.read_text() == ORIGINAL
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert not (place.state / NAME).exists()


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ({"patch_refused": True}, "Config write rejected"),
        ({"forgets": True}, "does not stand there: mcp.servers.clawpace"),
        ({"refused": "disable"}, "automation beat cannot be disabled: cannot disable; --keep b-1"),
    ],
)
def test_a_change_that_fails_half_way_is_taken_back(
    place: Place, trouble: dict[str, Any], words: str
) -> None:
    place.play(**trouble)
    said = place.run("apply", "--yes")
    assert said.code == 1
    assert words in said.err
    assert "it was taken back" in said.err
    assert place.is_untouched()


def test_what_cannot_be_taken_back_now_can_be_later(place: Place) -> None:
    place.play(forgets=True)
    config = place.directory / "openclaw.json"
    config.chmod(0o640)
    place.directory.joinpath(".openclaw.json.clawpace").mkdir()  # in the way of the draft
    said = place.run("apply", "--yes")
    assert said.code == 1
    assert "it could not be taken back" in said.err
    assert "agent-scheduler openclaw undo" in said.err
    place.directory.joinpath(".openclaw.json.clawpace").rmdir()
    assert place.run("undo", "--yes").code == 0
    assert place.is_untouched()


def test_what_a_dry_run_refuses_is_not_tried(place: Place) -> None:
    place.play(dry_run_errors=[{"kind": "schema", "message": "no such thing"}])
    said = place.run("apply", "--yes")
    assert (said.code, "no such thing" in said.err) == (1, True)
    assert place.is_untouched()


def test_a_file_that_changes_between_the_plan_and_the_change_is_looked_at_again_first(place: Place) -> None:
    place.play(meddled_with=True)
    said = place.run("apply", "--yes")
    assert (said.code, "has changed meanwhile" in said.err) == (1, True)
    assert place.file.read_text() == ORIGINAL + "\n"
    assert not (place.state / NAME).exists()


def test_an_automation_that_came_later_is_disabled_and_enabled_again(place: Place) -> None:
    place.run("apply", "--yes")
    applied = place.file.read_text()
    place.play(jobs=[*place.played()["jobs"], {**BEAT, "id": "b-2", "name": "later"}])
    assert place.run("apply", "--yes").code == 0
    assert place.file.read_text() == applied
    assert [job["enabled"] for job in place.played()["jobs"]] == [False, False]
    assert place.run("undo", "--yes").code == 0
    assert place.file.read_text() == ORIGINAL
    assert [job["enabled"] for job in place.played()["jobs"]] == [True, True]


def test_a_state_directory_that_cannot_hold_what_undoes_it_keeps_everything_as_it_is(place: Place) -> None:
    (place.state / f".{NAME}.clawpace").mkdir(parents=True)  # in the way of the draft
    said = place.run("apply", "--yes")
    assert (said.code, "cannot be written" in said.err) == (1, True)
    assert place.is_untouched()


def test_a_variable_that_only_the_gateway_has_is_no_obstacle(place: Place) -> None:
    place.play(dry_run_errors=[{"kind": "resolvability", "message": "missing"}])
    assert place.run("apply", "--yes", "--key-variable", "MY_KEY").code == 0
    assert place.config()["models"]["providers"]["nvidia-low"]["apiKey"] == "${MY_KEY}"


def test_the_variable_that_nvidia_names_is_named_by_the_others(place: Place) -> None:
    place.file.write_text(ORIGINAL.replace(KEY, "${SOME_KEY}"))
    place.run("apply", "--yes")
    assert place.config()["models"]["providers"]["nvidia-high"]["apiKey"] == "${SOME_KEY}"


def test_nothing_is_changed_without_a_yes(place: Place) -> None:
    nobody = place.run("apply")
    assert (nobody.code, "--yes" in nobody.err) == (2, True)
    for typed in ("\n", "n\n", "perhaps\n"):
        said = place.run("apply", typed=typed)
        assert (said.code, "nothing was changed" in said.err) == (1, True)
    assert place.is_untouched()
    assert place.run("apply", typed="y\n").code == 0
    assert place.run("undo", typed="n\n").code == 1
    assert place.run("undo", typed="yes\n").code == 0
    assert place.is_untouched()


def test_without_a_gateway_automations_stay_and_that_is_told(place: Place) -> None:
    place.play(down=True)
    said = place.run("apply", "--yes")
    assert said.code == 0
    assert "its automations cannot be seen" in said.out
    assert "The gateway does not run" in said.out
    assert place.played()["jobs"] == [BEAT]
    assert place.run("undo", "--yes").code == 0
    assert place.is_untouched()


def test_automations_are_enabled_again_only_by_a_gateway_that_runs(place: Place) -> None:
    place.run("apply", "--yes")
    place.play(down=True)
    said = place.run("undo", "--yes")
    assert (said.code, "gateway has to run" in said.err) == (1, True)
    place.play(down=False, refused="enable")
    told = place.run("undo", "--yes")
    assert (told.code, "automation beat: cannot enable" in told.out) == (0, True)


def test_an_automation_that_is_kept_stays(place: Place) -> None:
    assert place.run("apply", "--yes", "--keep", "beat").code == 0
    assert place.played()["jobs"] == [BEAT]


@pytest.mark.parametrize(
    ("trouble", "words"),
    [({"valid": False}, "openclaw config validate"), ({"no_agents": True}, "broken")],
)
def test_an_openclaw_that_does_not_work_is_an_obstacle(
    place: Place, trouble: dict[str, Any], words: str
) -> None:
    place.play(**trouble)
    said = place.run("plan")
    assert (said.code, words in said.err) == (1, True)


def test_a_catalogue_that_cannot_be_had_is_none(place: Place) -> None:
    place.play(no_models=True)
    assert place.run("plan").code == 0


def test_without_openclaw_its_configuration_or_a_model_it_says_what_to_do(place: Place) -> None:
    missing = place.run("plan", SCHEDULER_OPENCLAW="/nowhere/openclaw")
    assert (missing.code, "openclaw is not there" in missing.err) == (1, True)
    place.file.write_text("{}")
    place.play(agents=[])
    nothing = place.run("plan")
    assert (nothing.code, "--model" in nothing.err) == (1, True)
    assert place.run("plan", "--model", "deepseek-ai/deepseek-v3").code == 0
    place.file.unlink()
    unread = place.run("plan")
    assert (unread.code, "openclaw onboard" in unread.err) == (1, True)


@pytest.mark.parametrize(
    ("argv", "environ", "words"),
    [
        (["plan"], {"SCHEDULER_SIDECAR_URL": ""}, "SCHEDULER_SIDECAR_URL"),
        (["plan"], {"SCHEDULER_PORT": "0"}, "SCHEDULER_PORT"),
        (["plan", "--key-variable", "nvapi-x"], {}, "--key-variable"),
        (["plan", "--nonsense"], {}, "--nonsense"),
        ([], {}, "Missing command"),
    ],
)
def test_a_wrong_question_ends_with_2(
    place: Place, argv: list[str], environ: dict[str, str], words: str
) -> None:
    said = place.run(*argv, **environ)
    assert (said.code, words in said.err) == (2, True)


def test_a_board_for_everybody_is_reached_on_this_machine(place: Place) -> None:
    said = place.run("plan", "--json", SCHEDULER_HOST="::", SCHEDULER_PORT="8000")
    (board,) = (each for each in json.loads(said.out)["changes"] if each["path"][:2] == ["mcp", "servers"])
    assert board["after"]["url"] == "http://[::1]:8000/mcp"


def test_undo_data_that_cannot_be_read_is_an_obstacle(place: Place) -> None:
    place.run("apply", "--yes")
    (place.state / NAME).write_text("{}")
    said = place.run("undo", "--yes")
    assert (said.code, "cannot be read" in said.err) == (1, True)


def test_newcomers_are_added_to_the_roster_and_the_rest_of_its_text_stays(place: Place) -> None:
    roster = place.directory / "agents.yaml"
    text = "# team\nagents:\n  boss: {class: frequent}  # me\n\nnotify:\n  default: {kind: log}\n"
    roster.write_text(text)
    added = place.run("apply", "--yes", "--add-agents", SCHEDULER_AGENTS_FILE=str(roster))
    assert (added.code, f"Added to {roster}: main" in added.out) == (0, True)
    assert roster.read_text() == text.replace("# me\n", "# me\n  main: {}\n")
    assert list(read_roster(roster).agents) == ["boss", "main"]
    assert not list(place.directory.glob(".agents*"))
    again = place.run("apply", "--add-agents", SCHEDULER_AGENTS_FILE=str(roster))
    assert (again.code, "nothing to change" in again.out) == (0, True)


def test_a_roster_is_made_where_there_is_none(place: Place) -> None:
    assert place.run("apply", "--yes", "--add-agents").code == 0
    made = place.state / "agents.yaml"
    assert list(read_roster(made).agents) == ["main"]
    assert stat.S_IMODE(made.stat().st_mode) == 0o600


def test_a_roster_that_would_be_wrong_stays_as_it_was(place: Place) -> None:
    roster = place.directory / "agents.yaml"
    roster.write_text("agents:\n  boss: {}\n")
    place.play(agents=[{"id": "Main!", "model": "nvidia/deepseek-ai/deepseek-v3"}])
    said = place.run("apply", "--yes", "--add-agents", SCHEDULER_AGENTS_FILE=str(roster))
    assert (said.code, "would not be right" in said.err) == (1, True)
    assert roster.read_text() == "agents:\n  boss: {}\n"
    assert place.is_untouched()


def test_where_openclaw_does_not_take_the_change_nobody_is_added_to_the_roster(place: Place) -> None:
    roster = place.directory / "agents.yaml"
    roster.write_text("agents:\n  boss: {}\n")
    place.play(patch_refused=True)
    said = place.run("apply", "--yes", "--add-agents", SCHEDULER_AGENTS_FILE=str(roster))
    assert (said.code, "it was taken back" in said.err) == (1, True)
    assert roster.read_text() == "agents:\n  boss: {}\n"


def test_a_roster_that_cannot_be_written_in_the_end_leaves_openclaw_set_up_and_says_so(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_looked_at(_file: Path, _ids: Sequence[str], *, dry_run: bool = False) -> None:
        if not dry_run:
            raise StartError("the roster cannot be changed")

    monkeypatch.setattr(command, "add_agents", only_looked_at)
    said = place.run("apply", "--yes", "--add-agents")
    assert said.code == 1
    assert said.err.splitlines()[-2:] == [
        "the roster cannot be changed",
        "OpenClaw itself is set up; agent-scheduler openclaw undo takes that back",
    ]
    assert place.run("apply", "--yes", "--add-agents").err.splitlines() == ["the roster cannot be changed"]
    assert place.run("undo", "--yes").code == 0
    assert place.is_untouched()


def test_a_configuration_that_is_a_link_stays_one(place: Place) -> None:
    real = place.directory / "dotfiles" / "openclaw.json"
    real.parent.mkdir()
    place.file.rename(real)
    place.file.symlink_to(real)
    assert place.run("apply", "--yes").code == 0
    assert place.run("undo", "--yes").code == 0
    assert place.file.is_symlink()
    assert real.read_text() == ORIGINAL
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_what_undoes_a_change_has_its_name_on_the_disk_before_the_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def watched(fd: int) -> None:
        fsync(fd)
        synced.append(Path(f"/proc/self/fd/{fd}").readlink())

    monkeypatch.setattr(os, "fsync", watched)
    write_whole(tmp_path / "kept.json", b"{}", 0o600)
    assert synced[-1] == tmp_path
    assert (tmp_path / "kept.json").read_bytes() == b"{}"


def test_control_characters_in_what_openclaw_says_do_not_reach_the_terminal(place: Place) -> None:
    place.play(jobs=[{**BEAT, "name": "\x1b]0;mine\x07"}], refused="disable")
    said = place.run("apply", "--yes")
    assert (said.code, "\x1b" in said.err + said.out) == (1, False)
    assert "\\x1b]0;mine\\x07 cannot be disabled" in said.err
    place.play(refused="")
    assert place.run("apply", "--yes").code == 0
    place.play(refused="enable")
    said = place.run("undo", "--yes")
    assert "automation \\x1b]0;mine\\x07: cannot enable" in said.out
    assert "\x1b" not in said.out


def test_a_roster_in_one_line_is_the_operators_to_change(place: Place) -> None:
    roster = place.directory / "agents.yaml"
    roster.write_text("agents: {boss: {}}\n")
    said = place.run("apply", "--yes", "--add-agents", SCHEDULER_AGENTS_FILE=str(roster))
    assert (said.code, "by hand: main: {}" in said.err) == (1, True)
    assert place.is_untouched()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "agents:\n  ops: {}\n"),
        ("# nothing yet", "# nothing yet\nagents:\n  ops: {}\n"),
        ("agents:\ntimezone: UTC\n", "agents:\n  ops: {}\ntimezone: UTC\n"),
        ("agents:\n    a: {}", "agents:\n    a: {}\n    ops: {}\n"),
        (
            "agents:\n  a:\n    checks:\n    - one\n    - two # last\n\n# below\nmissed: skip\n",
            "agents:\n  a:\n    checks:\n    - one\n    - two # last\n  ops: {}\n\n# below\nmissed: skip\n",
        ),
        (
            "agents:\n  a:\n    label: >\n      long\n      text\nmissed: skip\n",
            "agents:\n  a:\n    label: >\n      long\n      text\n  ops: {}\nmissed: skip\n",
        ),
        ("agents:\n  a: {checks: [x,\n    y]}\n", "agents:\n  a: {checks: [x,\n    y]}\n  ops: {}\n"),
        ("agents:\n  a:\n", "agents:\n  a:\n  ops: {}\n"),
    ],
)
def test_lines_are_added_where_the_agents_end(text: str, expected: str) -> None:
    assert with_agents(text, ["ops"]) == expected


def test_names_that_yaml_would_take_for_something_else_are_quoted() -> None:
    assert with_agents("", ["no", "12", "a"]) == 'agents:\n  "no": {}\n  "12": {}\n  a: {}\n'


@pytest.mark.parametrize("text", ["agents: {a: {}}\n", "agents: [a]\n", "- a\n", "a: [\n", "{}"])
def test_what_is_not_written_in_lines_is_not_added_to(text: str) -> None:
    with pytest.raises(CannotAddError):
        with_agents(text, ["ops"])
