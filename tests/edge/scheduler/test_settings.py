"""The scheduler's settings against their contract, and the shipped examples and docs against the settings."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from scheduler.settings import Settings
from shared import check
from shared.errors import StartError
from shared.settings import effective, load, variables
from tests.edge.documents import ROOT, meanings, plain, shipped_env

CANARY = "nvapi-canary-0123456789-stays-inside"
HOME = {"HOME": "/home/somebody"}
STATE = Path("/home/somebody/.local/state/clawpace")

# The contract's table, written out again: a changed name or default must be changed twice.
TABLE: dict[str, object] = {
    "SCHEDULER_HOST": "127.0.0.1",
    "SCHEDULER_PORT": 8083,
    "SCHEDULER_METRICS_PORT": 9999,
    "SCHEDULER_ALERT_PORT": 9094,
    "SCHEDULER_DATABASE_URL": SecretStr(f"sqlite:///{STATE}/blackboard.db"),
    "SCHEDULER_STATE_DIR": STATE,
    "SCHEDULER_AGENTS_FILE": STATE / "agents.yaml",
    "SCHEDULER_TICK_SECONDS": 60,
    "SCHEDULER_MAX_CONCURRENT_AGENTS": 6,
    "SCHEDULER_SPAWN_SPACING_SECONDS": 2,
    "SCHEDULER_MAX_ATTEMPTS": 3,
    "SCHEDULER_RUN_TIMEOUT": 3600,
    "SCHEDULER_SIDECAR_URL": "http://127.0.0.1:9190",
    "SCHEDULER_OPENCLAW": ("openclaw",),
    "SCHEDULER_MULTICA": ("multica",),
    "SCHEDULER_RUNNER": "openclaw",
    "SCHEDULER_ALERT_TOKEN": SecretStr(""),
    "SCHEDULER_MULTICA_WORKSPACE": "",
    "SCHEDULER_ADMIN_TOKEN": SecretStr(""),
    "SCHEDULER_PUBLIC_URL": "",
    "SCHEDULER_ALLOWED_HOSTS": (),
    "SCHEDULER_HIGH_RISK_TOOLS": ("delete_file", "execute_code", "modify_database"),
    "SCHEDULER_REQUIRE_APPROVAL_FOR_HIGH_RISK": True,
    "SCHEDULER_LOG_LEVEL": "INFO",
    "SCHEDULER_LOG_FORMAT": "json",
    "DATABASE_POOL_SIZE": 10,
    "DATABASE_MAX_OVERFLOW": 20,
    "AUDIT_STORAGE_TYPE": "database",
    "AUDIT_BATCH_SIZE": 1000,
    "AUDIT_FLUSH_INTERVAL": 10,
    "AUDIT_RETENTION_DAYS": 90,
    "AUDIT_LOG_DIR": STATE / "audit",
    "AUDIT_MAX_FILE_SIZE": 104857600,
    "AUDIT_MAX_FILES": 10,
}
IN_STATE_DIR = ("database_url", "state_dir", "agents_file", "audit_log_dir")


def loaded(
    environ: dict[str, str] | None = None, data: dict[str, Any] | None = None, *, at: Path
) -> Settings:
    file = None
    if data is not None:
        file = at / "scheduler.yaml"
        file.write_text(yaml.safe_dump(data))
    return load(Settings, HOME | (environ or {}), file)


def problems(environ: dict[str, str] | None = None, data: dict[str, Any] | None = None, *, at: Path) -> str:
    with pytest.raises(StartError) as caught:
        loaded(environ, data, at=at)
    assert caught.value.exit_code == 2
    return "\n".join(caught.value.lines)


def shown(settings: Settings, key: str) -> object:
    (value,) = (row.value for row in effective(settings) if row.key == key)
    return value


def test_names_and_defaults_are_those_of_the_contract(tmp_path: Path) -> None:
    settings = loaded(at=tmp_path)
    keys = {name: name.lower().removeprefix("scheduler_") for name in TABLE}
    assert variables(Settings) == {key: name for name, key in keys.items()}
    assert {name: getattr(settings, key) for name, key in keys.items()} == TABLE
    assert {row.source for row in effective(settings)} == {"default"}
    assert settings.warnings == ()


def test_what_has_no_place_of_its_own_is_in_the_state_directory(tmp_path: Path) -> None:
    for settings in (
        loaded({"SCHEDULER_STATE_DIR": "/srv/s"}, at=tmp_path),
        loaded(data={"state_dir": "/srv/s"}, at=tmp_path),
        loaded({"STATE_DIRECTORY": "/srv/s:/srv/t"}, at=tmp_path),
        Settings(state_dir=Path("/srv/s")),
    ):
        assert settings.effective_database_url == "sqlite:////srv/s/blackboard.db"
        assert settings.agents_file == Path("/srv/s/agents.yaml")
        assert settings.audit_log_dir == Path("/srv/s/audit")
        assert not settings.is_explicit("agents_file")
    environ = {"SCHEDULER_AGENTS_FILE": "/a.yaml", "AUDIT_LOG_DIR": "/l", "SCHEDULER_DATABASE_URL": ""}
    settings = loaded(environ | {"SCHEDULER_STATE_DIR": "/srv/s"}, at=tmp_path)
    assert (settings.agents_file, settings.audit_log_dir) == (Path("/a.yaml"), Path("/l"))
    assert settings.effective_database_url == "sqlite:////srv/s/blackboard.db"
    assert settings.is_explicit("agents_file")


DATABASES = {
    "sqlite:///board.db": "sqlite:///board.db",
    "sqlite:////srv/my board.db": "sqlite:////srv/my board.db",
    " sqlite:////srv/b.db\n": "sqlite:////srv/b.db",
    "postgresql://h/db": "postgresql://h/db",
    "postgresql://u@h:5432/db": "postgresql://u@h:5432/db",
    f"postgresql://u:{CANARY}@h/db": "postgresql://u:****@h/db",
    f"postgresql+psycopg://u:{CANARY}@[::1]:5/db": "postgresql+psycopg://u:****@[::1]:5/db",
    f"postgresql://u@/db?host=/run&password={CANARY}": "postgresql://u@/db?…",
}


@pytest.mark.parametrize("url", DATABASES)
def test_the_address_of_the_database_is_whole_for_the_driver_and_shown_without_its_password(
    url: str, tmp_path: Path
) -> None:
    settings = loaded({"SCHEDULER_DATABASE_URL": url}, at=tmp_path)
    assert settings.effective_database_url == url.strip()
    assert shown(settings, "database_url") == DATABASES[url]
    assert CANARY not in repr(settings) + str(settings) + check.as_json(settings)
    assert (CANARY in settings.secrets) == (f":{CANARY}@" in url)


def test_the_log_is_told_the_password_as_it_is_written_and_as_it_is_sent(tmp_path: Path) -> None:
    settings = loaded(
        {
            "SCHEDULER_DATABASE_URL": "postgresql://u:p%40ss-word@h/db",
            "SCHEDULER_ADMIN_TOKEN": "admin",
            "SCHEDULER_ALERT_TOKEN": "alert",
        },
        at=tmp_path,
    )
    assert {*settings.secrets} == {"p%40ss-word", "p@ss-word", "admin", "alert"}
    assert {*loaded(at=tmp_path).secrets} == {""}


@pytest.mark.parametrize(
    ("text", "words", "view"),
    [
        ("/opt/openclaw/bin/openclaw", ("/opt/openclaw/bin/openclaw",), "/opt/openclaw/bin/openclaw"),
        ("node '/x y/openclaw.mjs' --flag", ("node", "/x y/openclaw.mjs", "--flag"), None),
        ("  openclaw  ", ("openclaw",), "openclaw"),
        ("openclaw; rm -rf /", ("openclaw;", "rm", "-rf", "/"), "'openclaw;' rm -rf /"),
    ],
)
def test_a_command_is_split_into_words_and_shown_as_text(
    text: str, words: tuple[str, ...], view: str | None, tmp_path: Path
) -> None:
    settings = loaded({"SCHEDULER_OPENCLAW": text}, {"multica": list(words)}, at=tmp_path)
    assert settings.openclaw == settings.multica == words
    assert shown(settings, "openclaw") == shown(settings, "multica") == (view or text)


def test_a_command_in_the_home_is_found_without_a_shell(tmp_path: Path) -> None:
    assert loaded({"SCHEDULER_MULTICA": "~/bin/multica"}, at=tmp_path).multica == (
        str(Path.home() / "bin/multica"),
    )


@pytest.mark.parametrize(
    ("data", "environ"),
    [(None, {"SCHEDULER_ALERT_PORT": ""}), (None, {"SCHEDULER_ALERT_PORT": " "}), ({"alert_port": None}, {})],
)
def test_an_empty_alert_port_is_off(
    data: dict[str, Any] | None, environ: dict[str, str], tmp_path: Path
) -> None:
    settings = loaded(environ, data, at=tmp_path)
    assert settings.alert_port is None
    assert shown(settings, "alert_port") is None


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", ""),
        ("http://box:9190/", "http://box:9190"),
        ("http://box:9190/v1", "http://box:9190"),
        ("https://box/sidecar/v1/", "https://box/sidecar"),
    ],
)
def test_the_address_of_the_sidecar_ends_before_v1_and_may_be_none(
    text: str, url: str, tmp_path: Path
) -> None:
    assert loaded({"SCHEDULER_SIDECAR_URL": text}, at=tmp_path).sidecar_url == url


def test_lists_are_comma_separated_or_yaml(tmp_path: Path) -> None:
    environ = {"SCHEDULER_HIGH_RISK_TOOLS": "rm, mcp__fs/delete,", "SCHEDULER_ALLOWED_HOSTS": "Board.example"}
    settings = loaded(environ, at=tmp_path)
    assert settings.high_risk_tools == ("rm", "mcp__fs/delete")
    assert settings.allowed_hosts == ("board.example",)
    assert loaded({"SCHEDULER_HIGH_RISK_TOOLS": ""}, at=tmp_path).high_risk_tools == ()
    assert loaded(data={"high_risk_tools": ["a", "b"]}, at=tmp_path).high_risk_tools == ("a", "b")


def test_a_runner_that_was_chosen_is_told_from_the_default(tmp_path: Path) -> None:
    assert not loaded(at=tmp_path).is_explicit("runner")
    chosen = loaded({"SCHEDULER_RUNNER": "OpenClaw"}, at=tmp_path)
    assert chosen.is_explicit("runner")
    assert chosen.runner == "openclaw"


def test_the_admin_token_is_taken_from_the_nearest_place(tmp_path: Path) -> None:
    (tmp_path / "scheduler-admin-token").write_text("from-systemd\n")
    (tmp_path / "file").write_text(" from-file\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    data = {"admin_token": "from-yaml"}

    def token(environ: dict[str, str]) -> tuple[str, str]:
        settings = loaded(environ, data, at=tmp_path)
        return settings.admin_token.get_secret_value(), settings.origin("admin_token").name

    assert token({}) == ("from-yaml", "admin_token")
    assert token(environ) == ("from-systemd", "$CREDENTIALS_DIRECTORY/scheduler-admin-token")
    environ["SCHEDULER_ADMIN_TOKEN_FILE"] = str(tmp_path / "file")
    assert token(environ) == ("from-file", "SCHEDULER_ADMIN_TOKEN_FILE")
    assert token(environ | {"SCHEDULER_ADMIN_TOKEN": "direct"}) == ("direct", "SCHEDULER_ADMIN_TOKEN")
    environ["SCHEDULER_ADMIN_TOKEN_FILE"] = "/none/at/all"
    assert problems(environ, at=tmp_path).startswith("SCHEDULER_ADMIN_TOKEN_FILE is '/none/at/all', expected")


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"SCHEDULER_PORT": "9999"}, "SCHEDULER_PORT"),
        ({"SCHEDULER_METRICS_PORT": "9094"}, "SCHEDULER_METRICS_PORT"),
        ({"SCHEDULER_ALERT_PORT": "8083"}, "SCHEDULER_ALERT_PORT"),
    ],
)
def test_each_of_the_three_ports_is_another(environ: dict[str, str], told: str, tmp_path: Path) -> None:
    assert re.fullmatch(
        rf"{told} is [0-9]+, expected a different port for the API, .*", problems(environ, at=tmp_path)
    )


def test_free_ports_and_a_port_that_is_off_collide_with_nobody(tmp_path: Path) -> None:
    ports = dict.fromkeys(["SCHEDULER_PORT", "SCHEDULER_METRICS_PORT", "SCHEDULER_ALERT_PORT"], "0")
    assert loaded(ports, at=tmp_path).alert_port == 0
    assert loaded(ports | {"SCHEDULER_ALERT_PORT": ""}, at=tmp_path).alert_port is None


WRONG = {
    "SCHEDULER_HOST": ["", "a b", "127.1"],
    "SCHEDULER_PORT": ["-1", "65536", "", "true"],
    "SCHEDULER_ALERT_PORT": ["off", "65536", "1.5"],
    "SCHEDULER_DATABASE_URL": [
        "board.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:////srv/",
        "sqlite:///b.db?mode=ro",
        "sqlite:///~/b.db",
        "sqlite+aiosqlite:///b.db",
        "mysql://h/db",
        "postgres://h/db",
        "postgresql://h",
        "postgresql://h/",
        "postgresql://u:p@w@h/db",
        "postgresql://u:p/w@h/db",
        "postgresql://h:port/db",
        "postgresql+asyncpg://h/db",
        "postgresql://h/db name",
    ],
    "SCHEDULER_STATE_DIR": ["", "/a\nb"],
    "SCHEDULER_AGENTS_FILE": ["", "~nobody-of-this-name/x"],
    "SCHEDULER_TICK_SECONDS": ["0", "-1", "1m", "inf", ""],
    "SCHEDULER_MAX_CONCURRENT_AGENTS": ["0", "2.5"],
    "SCHEDULER_SPAWN_SPACING_SECONDS": ["-0.1"],
    "SCHEDULER_MAX_ATTEMPTS": ["0"],
    "SCHEDULER_RUN_TIMEOUT": ["0"],
    "SCHEDULER_SIDECAR_URL": ["box:9190", "http://u:p@box", "ftp://box"],
    "SCHEDULER_OPENCLAW": ["", "  ", "'", "''", "a\x00b", "a 'b\nc'"],
    "SCHEDULER_MULTICA": [""],
    "SCHEDULER_RUNNER": ["", "fake"],
    "SCHEDULER_ALERT_TOKEN": ["a b"],
    "SCHEDULER_MULTICA_WORKSPACE": ["--flag", "a b"],
    "SCHEDULER_ADMIN_TOKEN": ["a b"],
    "SCHEDULER_PUBLIC_URL": ["board.example", "https://h?x=1"],
    "SCHEDULER_ALLOWED_HOSTS": ["a:80"],
    "SCHEDULER_HIGH_RISK_TOOLS": ["a b"],
    "SCHEDULER_REQUIRE_APPROVAL_FOR_HIGH_RISK": ["maybe", ""],
    "SCHEDULER_LOG_LEVEL": ["LOUD"],
    "DATABASE_POOL_SIZE": ["0"],
    "DATABASE_MAX_OVERFLOW": ["-1"],
    "AUDIT_STORAGE_TYPE": ["", "cloud"],
    "AUDIT_FLUSH_INTERVAL": ["0"],
    "AUDIT_RETENTION_DAYS": ["0", "nan"],
    "AUDIT_LOG_DIR": [""],
    "AUDIT_MAX_FILE_SIZE": ["100MB"],
    "AUDIT_MAX_FILES": ["0"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_wrong_value_is_a_problem_that_names_its_variable(name: str, value: str, tmp_path: Path) -> None:
    told = problems({name: value}, at=tmp_path)
    assert told.startswith(f"{name} is ")
    assert ", expected " in told
    assert "\n" not in told


def test_all_wrong_values_are_told_at_once(tmp_path: Path) -> None:
    environ = {name: values[-1] for name, values in WRONG.items()} | {"SCHEDULER_FOO": "1"}
    told = problems(environ, {"nope": 1}, at=tmp_path).splitlines()
    assert sorted(line.split()[0] for line in told) == sorted([*environ, "nope"])


def test_a_variable_with_our_prefix_that_nobody_knows_is_a_problem(tmp_path: Path) -> None:
    assert problems({"SCHEDULER_TIK_SECONDS": "5"}, at=tmp_path).endswith("mean SCHEDULER_TICK_SECONDS?")
    assert problems({"SCHEDULER_AUDIT_BATCH_SIZE": "5"}, at=tmp_path).endswith(
        "did you mean AUDIT_BATCH_SIZE?"
    )
    environ = {"AUDIT_OF_SOMEBODY_ELSE": "5", "SCHEDULER_CONFIG": "/x"}
    assert loaded(environ, at=tmp_path).audit_batch_size == 1000


def told(environ: dict[str, str], data: dict[str, Any] | None = None, *, at: Path) -> list[str]:
    """The problems, if any: whatever the junk, it must be one of the two."""
    try:
        settings = loaded(environ, data, at=at)
    except StartError as error:
        lines, code = list(error.lines), error.exit_code
    else:
        assert settings.effective_database_url
        assert settings.openclaw
        assert CANARY[4:] not in "\n".join(check.as_text(settings))
        return []
    assert code == 2
    assert lines
    assert all(line.isprintable() for line in lines)
    return lines


# A command is shown whole: it stands in every list of processes anyway.
COMMANDS = {"SCHEDULER_OPENCLAW", "SCHEDULER_MULTICA"}


@pytest.mark.parametrize(
    "name", sorted({"SCHEDULER_ADMIN_TOKEN_FILE", "SCHEDULER_NOPE"} | WRONG.keys() - COMMANDS)
)
def test_a_key_in_any_variable_shows_in_no_problem(name: str, tmp_path: Path) -> None:
    environ = {"SCHEDULER_ADMIN_TOKEN": CANARY, "SCHEDULER_METRICS_PORT": "8083"}
    for form in ("{0} {0}", "http://u:{0}@h/?{0}", "postgresql://u:{0}@w@h/db", "x" * 70 + "{0}\n'"):
        lines = told(environ | {name: form.format(CANARY)}, at=tmp_path)
        assert CANARY[4:] not in "\n".join(lines)


JUNK = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["", "0", "-1", "nan", "1e999", "~", "a,b", "'", "sqlite:///", "postgresql://[", "\udcff"]
    ),
    st.integers().map(str),
)
NAMES = [*TABLE, "SCHEDULER_ADMIN_TOKEN_FILE", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY", "HOME"]
JUNKYARD = hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(environ=st.dictionaries(st.sampled_from(NAMES), JUNK, max_size=8))
@JUNKYARD
def test_junk_in_any_variable_gives_settings_or_problems_never_a_traceback(
    environ: dict[str, str], tmp_path: Path
) -> None:
    told(environ, at=tmp_path)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10), st.dates()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner)),
    max_leaves=4,
)


@given(data=st.dictionaries(st.sampled_from([*Settings.model_fields, "junk"]), VALUES, max_size=5))
@JUNKYARD
def test_junk_in_the_file_gives_settings_or_problems_never_a_traceback(
    data: dict[str, Any], tmp_path: Path
) -> None:
    told({}, data, at=tmp_path)


# ------------------------------------------------------------------------ what is shipped beside the code


def test_the_example_environment_is_complete_and_shows_the_defaults() -> None:
    active, commented = shipped_env("SCHEDULER_", "DATABASE_", "AUDIT_")
    assert active == {}
    assert commented.keys() == {*TABLE, "SCHEDULER_CONFIG", "SCHEDULER_ADMIN_TOKEN_FILE"}
    # Places of the user's own.
    names = variables(Settings)
    for name in ("SCHEDULER_CONFIG", "SCHEDULER_ADMIN_TOKEN_FILE", *(names[key] for key in IN_STATE_DIR)):
        del commented[name]
    assert load(Settings, HOME | commented).model_dump() == load(Settings, HOME).model_dump()


def test_the_example_file_is_complete_and_shows_the_defaults(tmp_path: Path) -> None:
    text = (ROOT / "deploy/scheduler.example.yaml").read_text()
    assert yaml.safe_load(text) is None
    as_it_is = load(Settings, HOME, ROOT / "deploy/scheduler.example.yaml")
    assert as_it_is.model_dump() == loaded(at=tmp_path).model_dump()
    everything = yaml.safe_load(re.sub(r"^#(?=[a-z])", "", text, flags=re.MULTILINE))
    assert list(everything) == list(Settings.model_fields)
    assert loaded(data=everything, at=tmp_path).state_dir == Path("/var/lib/clawpace")
    for key in IN_STATE_DIR:
        del everything[key]
    assert loaded(data=everything, at=tmp_path).model_dump() == loaded(at=tmp_path).model_dump()


def documented(key: str, value: object) -> str:
    """A default as the documentation's table writes it."""
    special = {
        "database_url": "`sqlite:///<state_dir>/blackboard.db`",
        "state_dir": "`$STATE_DIRECTORY`, else `~/.local/state/clawpace`",
        "agents_file": "`<state_dir>/agents.yaml`",
        "audit_log_dir": "`<state_dir>/audit`",
        "admin_token": "generated",
        "high_risk_tools": "`delete_file,execute_code,modify_database`",
    }
    return special.get(key) or ("empty" if value in ("", []) else f"`{plain(value)}`")


def test_the_documentation_lists_every_setting_as_it_is() -> None:
    text = (ROOT / "docs/settings.md").read_text()
    meaning = meanings("scheduler/settings/__init__.py")
    for row in effective(Settings()):
        cells = f"| `{row.variable}` | `{row.key}` | {documented(row.key, row.value)} | {meaning[row.key]} |"
        assert f"{cells}\n" in text
    assert len(re.findall(r"^\| `(?:SCHEDULER|DATABASE|AUDIT)_", text, flags=re.MULTILINE)) == len(TABLE)
