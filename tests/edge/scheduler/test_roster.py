"""The roster: what it says, what holds where it says nothing, and every problem with its place."""

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from scheduler.roster import (
    Agent,
    AgentClass,
    FeishuTarget,
    LogTarget,
    OpenClawTarget,
    QuietHours,
    Roster,
    load_roster,
    read_roster,
    reload_roster,
)
from scheduler.roster.file import AgentEntry, RosterFile, RulesEntry, TargetEntry
from scheduler.settings import Settings
from shared.errors import StartError
from shared.settings import load
from tests.edge.documents import ROOT

CANARY = "canary-Key-0123456789-stays-inside"
EXAMPLE = ROOT / "deploy/agents.example.yaml"

# The contract's table, in minutes.
CLASSES = {
    "frequent": ("*/10 * * * *", 20, 30, 60, 50, ("coo",)),
    "development": ("*/15 * * * *", 30, 45, 120, 100, ("coo", "creator")),
    "business": ("*/15 * * * *", 30, 45, 120, 30, ("creator",)),
}


def read(text: str, *, at: Path) -> Roster:
    file = at / "agents.yaml"
    file.write_text(text)
    return read_roster(file)


def problems(text: str, *, at: Path) -> list[str]:
    with pytest.raises(StartError) as caught:
        read(text, at=at)
    assert caught.value.exit_code == 2
    assert all(line.isprintable() for line in caught.value.lines)
    return list(caught.value.lines)


def rules_of(rules: Agent | AgentClass) -> tuple[object, ...]:
    """In minutes, as people write them."""
    return (
        rules.heartbeat,
        rules.suspect_after_seconds / 60,
        rules.recover_after_seconds / 60,
        rules.dependency_wait_seconds / 60,
        rules.max_turns,
        rules.notify,
    )


def test_the_shipped_example_is_the_team_of_fifteen() -> None:
    roster = read_roster(EXAMPLE)
    assert len(roster.agents) == 15
    assert next(iter(roster.agents)) == "coo"
    assert (roster.timezone, roster.missed) == ("Asia/Shanghai", "run_once")
    assert {name: rules_of(rules) for name, rules in roster.classes.items()} == CLASSES
    assert roster.agents["opengineer"] == Agent(
        id="opengineer",
        label="严维序",
        class_name="development",
        multica_id="d3804433-9e2e-4199-a92b-a153049b3bc9",
        heartbeat="*/10 * * * *",
        suspect_after_seconds=1800.0,
        recover_after_seconds=2700.0,
        dependency_wait_seconds=7200.0,
        max_turns=100,
        notify=("coo", "creator"),
        checks=("deployments", "health of servers and services"),
        checks_every_seconds=None,
        todo_files=(),
        missed="run_once",
    )
    assert roster.agents["prompt-engineer"].multica_id is None
    assert rules_of(roster.agents["lawyer"]) == CLASSES["business"]
    assert roster.notify.keys() == {"default", "coo", "critical", "warning"}
    assert (roster.quiet_hours, roster.report_at_minute, roster.commands) == (None, None, {})


def test_what_the_example_has_commented_out_is_right_too(tmp_path: Path) -> None:
    text = re.sub(r"^#(?=[a-z_]+: )", "", EXAMPLE.read_text(), flags=re.MULTILINE)
    roster = read(text, at=tmp_path)
    assert roster.quiet_hours == QuietHours(22 * 60, 8 * 60)
    assert (roster.report_at_minute, roster.report_to) == (8 * 60 + 30, ("coo",))
    assert roster.commands == {"tests": ("make", "test")}
    (last,) = re.findall(r"^# An agent may also have: (.*)\.$", text, flags=re.MULTILINE)
    agent = read(f"agents: {{a: {{{last}}}}}", at=tmp_path).agents["a"]
    assert (agent.todo_files, agent.checks_every_seconds, agent.missed) == (
        ("~/work/TODO*.md",),
        14400,
        "skip",
    )


@pytest.mark.parametrize("text", ["", "# nothing\n", "agents:\nclasses:\nnotify:\n"])
def test_an_empty_roster_has_the_documented_classes_and_nobody(text: str, tmp_path: Path) -> None:
    roster = read(text, at=tmp_path)
    assert roster.agents == {}
    assert {name: rules_of(rules) for name, rules in roster.classes.items()} == CLASSES
    assert (roster.timezone, roster.missed, roster.report_to) == ("UTC", "run_once", ("default",))


def test_a_missing_file_is_no_roster_unless_somebody_named_it(tmp_path: Path) -> None:
    environ = {"SCHEDULER_STATE_DIR": str(tmp_path)}
    assert load_roster(load(Settings, environ)).agents == {}
    file = tmp_path / "agents.yaml"
    with pytest.raises(StartError) as caught:
        load_roster(load(Settings, environ | {"SCHEDULER_AGENTS_FILE": str(file)}))
    assert caught.value.lines == (
        f"SCHEDULER_AGENTS_FILE: roster {file} cannot be read: No such file or directory",
    )
    file.write_text("agents: {a: {}}")
    assert load_roster(load(Settings, environ)).agents.keys() == {"a"}
    file.unlink()
    file.symlink_to(tmp_path / "gone")
    with pytest.raises(StartError, match=r"agents_file: roster .* cannot be read"):
        load_roster(load(Settings, environ))
    with pytest.raises(StartError, match="cannot be read: Not a directory"):
        read_roster(EXAMPLE / "agents.yaml", required=False)


def test_a_roster_that_is_read_again_has_to_be_there(tmp_path: Path) -> None:
    settings = load(Settings, {"SCHEDULER_STATE_DIR": str(tmp_path)})
    file = tmp_path / "agents.yaml"
    with pytest.raises(StartError) as caught:
        reload_roster(settings)
    assert (caught.value.lines, caught.value.exit_code) == (
        (f"{file} is not there; the old roster holds",),
        2,
    )
    file.write_text("agents: {a: {}}")
    assert reload_roster(settings).agents.keys() == {"a"}


def test_an_agent_overrides_its_class_and_a_class_the_documented_one(tmp_path: Path) -> None:
    roster = read(
        """
        missed: run_all
        classes:
          frequent: {suspect_after_minutes: 1.5, notify: boss}
          night: {heartbeat: "0 3 * * *"}
        agents:
          a: {class: frequent, recover_after_minutes: 5, max_turns: 7}
          b: {class: night, heartbeat: "0 4  * * *", dependency_wait_minutes: 10, notify: []}
          c: {missed: Skip}
          d:
        """,
        at=tmp_path,
    )
    assert rules_of(roster.classes["frequent"]) == ("*/10 * * * *", 1.5, 30, 60, 50, ("boss",))
    assert rules_of(roster.agents["a"]) == ("*/10 * * * *", 1.5, 5, 60, 7, ("boss",))
    assert rules_of(roster.classes["night"]) == ("0 3 * * *", *CLASSES["development"][1:])
    assert rules_of(roster.agents["b"]) == ("0 4 * * *", 30, 45, 10, 100, ())
    assert [roster.agents[name].missed for name in "acd"] == ["run_all", "skip", "run_all"]
    assert (roster.agents["d"].label, roster.agents["d"].class_name) == ("d", "development")
    assert rules_of(roster.agents["d"]) == CLASSES["development"]


def test_an_agent_that_is_not_there_follows_the_rules_of_development(tmp_path: Path) -> None:
    roster = read(
        "missed: skip\nclasses: {development: {max_turns: 9}}\nagents: {a: {max_turns: 3}}", at=tmp_path
    )
    assert roster.rules_for("a") is roster.agents["a"]
    stranger = roster.rules_for("somebody")
    assert (stranger.id, stranger.label, stranger.class_name) == ("somebody", "somebody", "development")
    assert (stranger.max_turns, stranger.missed, stranger.multica_id) == (9, "skip", None)


def test_a_name_without_a_target_falls_back_to_the_default_and_that_to_the_log(tmp_path: Path) -> None:
    text = "notify: {coo: {kind: openclaw, channel: feishu, target: 'ou_1'}}"
    roster = read(text, at=tmp_path)
    assert roster.target("coo") == OpenClawTarget("feishu", "ou_1")
    assert roster.target("creator of a task") == LogTarget()
    roster = read(text.replace("coo", "default"), at=tmp_path)
    assert roster.target("coo") == OpenClawTarget("feishu", "ou_1")


def test_what_is_secret_of_a_target_may_stand_in_files_and_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text(f"https://open.feishu.cn/open-apis/bot/v2/hook/{CANARY}\n")
    (tmp_path / "secret").write_text(f"{CANARY}\n")
    roster = read(
        f"""
        notify:
          files: {{kind: feishu, webhook_file: {tmp_path}/hook, secret_file: {tmp_path}/secret}}
          plain: {{kind: Feishu, webhook: "http://127.0.0.1:8/hook", secret: "{CANARY}"}}
          open:  {{kind: feishu, webhook: "http://127.0.0.1:8/hook"}}
        """,
        at=tmp_path,
    )
    targets = [roster.target(name) for name in ("files", "plain", "open")]
    found = [
        (t.webhook.get_secret_value(), t.secret.get_secret_value())
        for t in targets
        if isinstance(t, FeishuTarget)
    ]
    assert found == [
        (f"https://open.feishu.cn/open-apis/bot/v2/hook/{CANARY}", CANARY),
        ("http://127.0.0.1:8/hook", CANARY),
        ("http://127.0.0.1:8/hook", ""),
    ]
    assert CANARY not in repr(roster)


@pytest.mark.parametrize(
    ("every", "seconds"),
    [
        ("4h", 14400),
        ("'30 m'", 1800),
        ("90s", 90),
        ("1.5d", 129600),
        ("60", 60),
        ("off", None),
        ("'off'", None),
        ("", None),
    ],
)
def test_how_often_is_told_with_a_unit_or_in_seconds(
    every: str, seconds: float | None, tmp_path: Path
) -> None:
    roster = read(f"agents: {{a: {{checks_every: {every}}}}}", at=tmp_path)
    assert roster.agents["a"].checks_every_seconds == seconds


def test_one_name_is_a_list_of_one_and_a_blank_list_is_empty(tmp_path: Path) -> None:
    roster = read("report_to: boss\nagents:\n  a:\n    todo_files: TODO.md\n    checks:\n", at=tmp_path)
    assert (roster.agents["a"].todo_files, roster.agents["a"].checks) == (("TODO.md",), ())
    assert roster.report_to == ("boss",)


WRONG = [
    ("timezone", "timezone: Asia/Shangai", "expected the name of a time zone"),
    ("timezone", "timezone: ../etc/passwd", "expected the name of a time zone"),
    ("timezone", "timezone: Asia", "expected the name of a time zone"),
    ("timezone", "timezone: ''", "expected the name of a time zone"),
    ("timezone", "timezone: +8", "is 8, expected the name of a time zone"),
    ("missed", "missed: never", "expected one of skip, run_once, run_all"),
    ("quiet_hours", "quiet_hours: 22-8", 'such as "22:00-08:00"'),
    ("quiet_hours", "quiet_hours: 24:00-08:00", 'such as "22:00-08:00"'),
    ("quiet_hours", "quiet_hours: 08:00-08:00", "two different times"),
    ("quiet_hours", "quiet_hours: [1]", "is a list"),
    ("report_at", "report_at: '8:30'", "expected a time of day"),
    ("report_at", "report_at: 18:30", "in quotes"),
    ("report_to", "report_to: 5", "expected a list of names"),
    ("agents", "agents: [coo]", "expected a mapping"),
    ("agents.a", "agents: {a: 5}", "expected a mapping"),
    ("agents.COO", "agents: {COO: {}}", "expected an agent's id: lower-case letters"),
    ("agents.--x", "agents: {--x: {}}", "expected an agent's id"),
    ("agents[1]", "agents: {on: {}}", "in quotes if YAML knows the word"),
    (f"agents.{'x' * 65}", f"agents: {{{'x' * 65}: {{}}}}", "at most 64"),
    ("agents.a.class", "agents: {a: {class: frequnt}}", "one of the classes business, development, frequent"),
    ("agents.a.class", "agents: {a: {class: 5}}", "one line of text"),
    ("agents.a.label", 'agents: {a: {label: "x\\ny"}}', "one line of text"),
    ("agents.a.label", 'agents: {a: {label: "\\e[31mx"}}', "one line of text"),
    ("agents.a.multica_id", "agents: {a: {multica_id: --all}}", "expected the agent's id in Multica"),
    ("agents.b.multica_id", "agents: {a: {multica_id: m}, b: {multica_id: m}}", "this one is a's"),
    ("agents.a.heartbeat", "agents: {a: {heartbeat: '61 * * * *'}}", "five fields"),
    ("agents.a.heartbeat", "agents: {a: {heartbeat: '* * * * * *'}}", "five fields"),
    ("agents.a.heartbeat", "agents: {a: {heartbeat: '@daily'}}", "five fields"),
    ("agents.a.heartbeat", "agents: {a: {heartbeat: '0 0 30 2 *'}}", "(bad day-of-month)"),
    ("agents.a.heartbeat", f"agents: {{a: {{heartbeat: '{'9' * 5000} * * * *'}}}}", "five fields"),
    ("agents.a.heartbeat", "agents: {a: {heartbeat: 10}}", "five fields"),
    ("agents.a.suspect_after_minutes", "agents: {a: {suspect_after_minutes: 0}}", "minutes above 0"),
    ("agents.a.suspect_after_minutes", "agents: {a: {suspect_after_minutes: 45}}", "is 45.0, expected less"),
    ("agents.a.recover_after_minutes", "agents: {a: {recover_after_minutes: 30}}", "is 30.0, expected more"),
    ("agents.a.max_turns", "agents: {a: {max_turns: 1.5}}", "expected a whole number"),
    ("agents.a.notify", "agents: {a: {notify: 5}}", "names of targets"),
    ("agents.a.notify[0]", "agents: {a: {notify: [a b]}}", "a name without spaces"),
    ("agents.a.checks[0]", "agents: {a: {checks: [5]}}", "one line of text"),
    ("agents.a.checks_every", "agents: {a: {checks_every: often}}", "a time such as 4h"),
    ("agents.a.checks_every", "agents: {a: {checks_every: 0}}", "a time such as 4h"),
    ("agents.a.hearbeat", "agents: {a: {hearbeat: x}}", "did you mean heartbeat?"),
    ("agents.a.clas", "agents: {a: {clas: x}}", "did you mean class?"),
    ("agents.a.class_name", "agents: {a: {class_name: x}}", "is unknown"),
    ("agent", "agent: {}", "did you mean agents?"),
    ("classes.x.max_turns", "classes: {x: {max_turns: 0}}", "expected a whole number"),
    ("classes.business.recover_after_minutes", "classes: {business: {recover_after_minutes: 9}}", "more"),
    ("notify.x.kind", "notify: {x: {}}", "is missing, expected one of log, openclaw, feishu"),
    ("notify.x.kind", "notify: {x: {kind: email}}", "expected one of log, openclaw, feishu"),
    ("notify.x", "notify: {x: {kind: openclaw, channel: c}}", "expected channel and target in it"),
    ("notify.x", "notify: {x: {kind: log, target: c}}", "expected nothing but kind in it"),
    ("notify.x", "notify: {x: {kind: feishu}}", "expected webhook or webhook_file in it"),
    ("notify.x", "notify: {x: {kind: feishu, webhook: 'http://h', channel: c}}", "and nothing else"),
    ("notify.x.target", "notify: {x: {kind: openclaw, channel: c, target: -100}}", "text, in quotes"),
    ("notify.x.webhook", "notify: {x: {kind: feishu, webhook: 'h/hook'}}", "the address of the bot"),
    ("notify.x.webhook_file", "notify: {x: {kind: feishu, webhook_file: /none}}", "a readable file"),
    ("notify.x", f"notify: {{x: {{kind: feishu, webhook_file: {ROOT}/LICENSE}}}}", ""),
    ("commands.t", "commands: {t: make test}", "a list that begins with the program"),
    ("commands.t", "commands: {t: []}", "a list that begins with the program"),
    ("commands.t", "commands: {t: ['']}", "a list that begins with the program"),
    ("commands.t[1]", "commands: {t: [sleep, 5]}", "text, in quotes"),
    ("commands.a b", "commands: {a b: [x]}", "expected a name"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "text", "words"), WRONG)
def test_a_wrong_entry_is_named_with_its_line_and_what_was_expected(
    place: str, text: str, words: str, tmp_path: Path
) -> None:
    (line,) = problems(text, at=tmp_path)
    assert line.startswith(f"{place} (") or (words == "" and line.startswith(place))
    assert f" ({tmp_path / 'agents.yaml'} line 1) " in line
    assert words in line


def test_a_secret_in_a_wrong_place_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text(CANARY)
    for entry in (
        f"{{kind: feishu, webhook: {CANARY}}}",
        f"{{kind: feishu, webhook_file: {tmp_path}/hook}}",
        f"{{kind: feishu, webhook: 'https://h/{CANARY}?x', secret: '{CANARY} x'}}",
        f"{{kind: feishu, hook: 'https://h/{CANARY}'}}",
        f"{{kind: log, secret: {CANARY}}}",
    ):
        assert CANARY[4:] not in "\n".join(problems(f"notify: {{x: {entry}}}", at=tmp_path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("agents: {a: {}, a: {}}", "agents.a ({file} line 1) is there twice, expected each key once"),
        ("agents: [", "roster {file} line 1, column 10 is not valid YAML"),
        ("- coo", "roster {file} holds a list, expected a mapping"),
    ],
)
def test_a_broken_file_is_a_problem(text: str, words: str, tmp_path: Path) -> None:
    (line,) = problems(text, at=tmp_path)
    assert words.format(file=tmp_path / "agents.yaml") in line


def test_every_problem_is_told_at_once_also_in_one_entry(tmp_path: Path) -> None:
    lines = problems(
        """
timezone: Mars
classes:
  slow: {suspect_after_minutes: soon}
  late: {suspect_after_minutes: 60}
agents:
  A: {}
  7: {}
  a: {hearbeat: x, class: nope, suspect_after_minutes: 50}
  b: {class: slow, recover_after_minutes: 1, max_turns: 0}
  c: {class: late}
  d: {label: 5, recover_after_minutes: 5}
notify:
  x: {channel: c}
  y: {kind: log, target: t}
commands: {t: x}
kommands: {}
""",
        at=tmp_path,
    )
    assert [line.split()[0] for line in lines] == [
        "kommands",
        "timezone",
        "classes.slow.suspect_after_minutes",
        "agents.A",
        "agents[7]",
        "agents.a.hearbeat",
        "agents.b.max_turns",
        "agents.d.label",
        "notify.x.kind",
        "notify.y",
        "commands.t",
        # Told where it is written, not for `c`, and not for `b`, whose class is wrong already.
        "classes.late.suspect_after_minutes",
        "agents.a.class",
        "agents.d.recover_after_minutes",
    ]


SOMETHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=10),
    st.just(date(2026, 1, 1)),
    st.sampled_from(
        ["log", "openclaw", "x", "*/5 * * * *", "UTC", "22:00-08:00", "08:30", "/", "4h", "frequent"]
    ),
)
KEYS = st.one_of(
    st.sampled_from(
        [
            *[
                info.alias or key
                for entry in (AgentEntry, TargetEntry)
                for key, info in entry.model_fields.items()
            ],
            "development",
            "[key]",
            "",
        ]
    ),
    st.integers(),
    st.booleans(),
    st.none(),
    st.just(date(2026, 1, 1)),
    st.floats(),
)
PARTS = st.recursive(
    SOMETHING,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=10,
)


@given(data=st.dictionaries(st.sampled_from([*RosterFile.model_fields, "junk"]), PARTS, max_size=5))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_junk_gives_a_roster_or_problems_never_a_traceback(data: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "agents.yaml"
    file.write_text(yaml.safe_dump(data))
    try:
        roster = read_roster(file)
    except StartError as error:
        lines, code = list(error.lines), error.exit_code
    else:
        assert roster.rules_for("anybody").heartbeat
        return
    assert code == 2
    assert lines
    assert all(line.isprintable() for line in lines)


def test_the_documentation_names_every_key_and_the_documented_rules() -> None:
    text = (ROOT / "docs/settings.md").read_text().partition("### The roster")[2]
    for kind in (RosterFile, RulesEntry, AgentEntry, TargetEntry):
        for key, info in kind.model_fields.items():
            assert f"`{info.alias or key}`" in text
    for name, (heartbeat, *numbers, notify) in CLASSES.items():
        cells = [f"`{name}`", f"`{heartbeat}`", *map(str, numbers), ", ".join(f"`{who}`" for who in notify)]
        assert f"| {' | '.join(cells)} |\n" in text
