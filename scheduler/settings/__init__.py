"""Every setting of the scheduler, declared once: variable, YAML key, default, type, meaning.

The rule: names and defaults are a contract with users, and ``docs/settings.md`` is checked against this file;
everything is validated at the start. The YAML key is the variable in lower case without ``SCHEDULER_``.
Durations are seconds and may be decimal, sizes are bytes.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from scheduler.settings import rules
from scheduler.settings.database_url import DatabaseUrl, passwords_in
from scheduler.settings.surroundings import look_around
from scheduler.settings.values import (
    AuditStorage,
    Command,
    Days,
    OptionalPort,
    OptionalUrl,
    Overflow,
    Runner,
    SidecarUrl,
    Tools,
    Workspace,
)
from shared.settings import Conflict, ProcessSettings, Setting, Surroundings
from shared.settings.keys import Key
from shared.settings.surroundings import STATE_DIR_AT_HOME
from shared.settings.values import (
    Bytes,
    Count,
    Directory,
    File,
    Flag,
    Host,
    Hosts,
    LogFormat,
    LogLevel,
    Port,
    Seconds,
    SomeSeconds,
)

__all__ = ["Settings"]

_STATE_DIR: Final = Path("~", STATE_DIR_AT_HOME)


class Settings(ProcessSettings):
    """The settings of one scheduler, frozen. ``load(Settings, environ, file)`` makes one."""

    model_config = SettingsConfigDict(env_prefix="SCHEDULER_")
    known_variables: ClassVar[frozenset[str]] = frozenset({"SCHEDULER_CONFIG", "SCHEDULER_ADMIN_TOKEN_FILE"})

    host: Annotated[Host, Setting("HOST")] = "127.0.0.1"
    """address of the API, the metrics and the alert webhook"""
    port: Annotated[Port, Setting("PORT")] = 8083
    """port of the API and the web board; 0: a free one, named in the `scheduler_started` log line"""
    metrics_port: Annotated[Port, Setting("METRICS_PORT")] = 9999
    """port for Prometheus; must differ from the others"""
    alert_port: Annotated[OptionalPort, Setting("ALERT_PORT")] = 9094
    """port for Alertmanager's webhook; empty: off. If it is taken, the scheduler goes on without it"""
    # Where it is by default, ``_stay_in_the_state_dir`` says.
    database_url: Annotated[DatabaseUrl, Setting("DATABASE_URL")] = SecretStr("")
    """the board: `sqlite:///PATH` (four slashes for an absolute path) or
    `postgresql://USER:PASSWORD@HOST/DATABASE`"""
    # Which home it is, ``load`` is told by the environment; here the default stays as it is written.
    state_dir: Annotated[Directory, Setting("STATE_DIR")] = Field(default=_STATE_DIR, validate_default=False)
    """what outlives a restart; default `$STATE_DIRECTORY`, else the home's"""
    agents_file: Annotated[File, Setting("AGENTS_FILE")] = Field(
        default=_STATE_DIR / "agents.yaml", validate_default=False
    )
    """the roster of agents; where the default file is missing there are no heartbeats"""
    tick_seconds: Annotated[SomeSeconds, Setting("TICK_SECONDS")] = 60.0
    """from one look at the board to the next"""
    max_concurrent_agents: Annotated[Count, Setting("MAX_CONCURRENT_AGENTS")] = 6
    """agents at work at once, at most"""
    spawn_spacing_seconds: Annotated[Seconds, Setting("SPAWN_SPACING_SECONDS")] = 2.0
    """between two starts: OpenClaw loses runs that start in a burst"""
    max_attempts: Annotated[Count, Setting("MAX_ATTEMPTS")] = 3
    """runs that a task may spend before it counts as failed"""
    run_timeout: Annotated[SomeSeconds, Setting("RUN_TIMEOUT")] = 3600.0
    """longest run of an agent; then it is stopped"""
    sidecar_url: Annotated[SidecarUrl, Setting("SIDECAR_URL")] = "http://127.0.0.1:9190"
    """the NVIDIA sidecar, asked before anybody is started; empty: nobody is asked"""
    openclaw: Annotated[Command, Setting("OPENCLAW")] = ("openclaw",)
    """the command that runs OpenClaw: a path, or a command with arguments"""
    multica: Annotated[Command, Setting("MULTICA")] = ("multica",)
    """the command that runs Multica, likewise"""
    runner: Annotated[Runner, Setting("RUNNER")] = "openclaw"
    """who plays the agents: `openclaw`, or `demo` for a demonstration without it"""
    alert_token: Annotated[Key, Setting("ALERT_TOKEN")] = SecretStr("")
    """bearer token that Alertmanager must send; empty: none is asked for"""
    multica_workspace: Annotated[Workspace, Setting("MULTICA_WORKSPACE")] = ""
    """id of the workspace; empty: the one that Multica has as its default"""
    admin_token: Annotated[Key, Setting("ADMIN_TOKEN")] = SecretStr("")
    """for writes over HTTP; empty: made at the first start, kept in `state_dir` as `scheduler-admin-token`.
    Also `SCHEDULER_ADMIN_TOKEN_FILE` and systemd's `$CREDENTIALS_DIRECTORY/scheduler-admin-token`"""
    public_url: Annotated[OptionalUrl, Setting("PUBLIC_URL")] = ""
    """address of the board as people reach it, for links in messages"""
    allowed_hosts: Annotated[Hosts, Setting("ALLOWED_HOSTS")] = ()
    """host names accepted besides loopback's, comma-separated"""
    high_risk_tools: Annotated[Tools, Setting("HIGH_RISK_TOOLS")] = (
        "delete_file",
        "execute_code",
        "modify_database",
    )
    """tools, comma-separated; a task that names one waits for a person"""
    require_approval_for_high_risk: Annotated[Flag, Setting("REQUIRE_APPROVAL_FOR_HIGH_RISK")] = True
    """`false` lets such tasks start without a person"""
    log_level: Annotated[LogLevel, Setting("LOG_LEVEL")] = "INFO"
    """`DEBUG`, `INFO`, `WARNING`, `ERROR`, `CRITICAL`"""
    log_format: Annotated[LogFormat, Setting("LOG_FORMAT")] = "json"
    """`json`: a JSON object per line; `console`: for people"""
    database_pool_size: Annotated[Count, Setting("DATABASE_POOL_SIZE", prefixed=False)] = 10
    """connections kept to PostgreSQL"""
    database_max_overflow: Annotated[Overflow, Setting("DATABASE_MAX_OVERFLOW", prefixed=False)] = 20
    """further connections to PostgreSQL while there is much to do"""
    audit_storage_type: Annotated[AuditStorage, Setting("AUDIT_STORAGE_TYPE", prefixed=False)] = "database"
    """where the audit log is kept: `memory`, `file`, `database`"""
    audit_batch_size: Annotated[Count, Setting("AUDIT_BATCH_SIZE", prefixed=False)] = 1000
    """entries that are written together, at most"""
    audit_flush_interval: Annotated[SomeSeconds, Setting("AUDIT_FLUSH_INTERVAL", prefixed=False)] = 10.0
    """longest time that an entry waits to be written"""
    audit_retention_days: Annotated[Days, Setting("AUDIT_RETENTION_DAYS", prefixed=False)] = 90.0
    """days after which entries are removed"""
    audit_log_dir: Annotated[Directory, Setting("AUDIT_LOG_DIR", prefixed=False)] = Field(
        default=_STATE_DIR / "audit", validate_default=False
    )
    """directory of the audit log's files"""
    audit_max_file_size: Annotated[Bytes, Setting("AUDIT_MAX_FILE_SIZE", prefixed=False)] = 104_857_600
    """size at which the next file is begun"""
    audit_max_files: Annotated[Count, Setting("AUDIT_MAX_FILES", prefixed=False)] = 10
    """files that are kept; the oldest are removed"""

    @model_validator(mode="after")
    def _stay_in_the_state_dir(self) -> Self:
        """What has no place of its own has one in the state directory, wherever that is."""
        places: dict[str, object] = {
            "agents_file": self.state_dir / "agents.yaml",
            "audit_log_dir": self.state_dir / "audit",
        }
        for key, place in places.items():
            if key not in self.model_fields_set:
                # Frozen for everybody else: here the object is still being made.
                object.__setattr__(self, key, place)
        if not self.database_url:
            url = SecretStr(f"sqlite:///{self.state_dir}/blackboard.db")
            object.__setattr__(self, "database_url", url)
        return self

    @classmethod
    def surroundings(cls, environ: Mapping[str, str]) -> Surroundings:
        """The admin token in a file of its own, and the state directory that systemd or the home offers."""
        return look_around(environ)

    def conflicts(self) -> Iterable[Conflict]:
        """What is wrong between settings."""
        return rules.conflicts(self)

    @property
    def effective_database_url(self) -> str:
        """The address of the board as it is, with the password if there is one: for the driver alone."""
        return self.database_url.get_secret_value()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must stand in no log line."""
        return (
            self.admin_token.get_secret_value(),
            self.alert_token.get_secret_value(),
            *passwords_in(self.effective_database_url),
        )
