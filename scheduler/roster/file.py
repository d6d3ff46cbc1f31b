"""The shape of ``agents.yaml``: its keys, and what each may hold. What nobody said is None."""

from typing import Annotated, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from scheduler.roster.model import DEFAULT_CLASS, DEFAULT_TARGET
from scheduler.roster.values import (
    AgentId,
    Argument,
    Arguments,
    Cron,
    Every,
    Kind,
    Line,
    Lines,
    MinuteOfDay,
    Minutes,
    MissedPolicy,
    MulticaId,
    Names,
    Quiet,
    TargetName,
    Webhook,
    Zone,
    webhook,
)
from shared.settings.keys import Key, NamedFile
from shared.settings.values import Count, Name


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class RulesEntry(_Entry):
    """The rules of a class, or an agent's own."""

    heartbeat: Cron | None = None
    suspect_after_minutes: Minutes | None = None
    recover_after_minutes: Minutes | None = None
    dependency_wait_minutes: Minutes | None = None
    max_turns: Count | None = None
    notify: Names | None = None


class AgentEntry(RulesEntry):
    """An agent: who it is, and where it differs from its class."""

    label: Line | None = None
    # Whether there is such a class is asked when all classes are known.
    class_name: Annotated[Line, Field(alias="class")] = DEFAULT_CLASS
    multica_id: MulticaId | None = None
    checks: Lines = ()
    checks_every: Every = None
    todo_files: Lines = ()
    missed: MissedPolicy | None = None


_WORDS_OF_KIND: Final = {
    "log": "nothing but kind in it, for log",
    "openclaw": "channel and target in it, and nothing else, for openclaw",
    "feishu": "webhook or webhook_file in it, perhaps secret or secret_file, and nothing else, for feishu",
}
_NEEDED: Final = {"log": set[str](), "openclaw": {"channel", "target"}, "feishu": {"webhook"}}
_ALLOWED: Final = _NEEDED | {"feishu": {"webhook", "secret"}}


class TargetEntry(_Entry):
    """Where somebody is told things. What is secret may stand in a file of its own."""

    kind: Kind
    channel: Argument | None = None
    target: Argument | None = None
    webhook: Webhook | None = None
    webhook_file: NamedFile | None = None
    secret: Key = SecretStr("")
    secret_file: NamedFile | None = None

    @model_validator(mode="after")
    def _what_its_kind_takes(self) -> Self:
        written = [key for key in type(self).model_fields if key != "kind" and getattr(self, key)]
        meant = {key.removesuffix("_file") for key in written}
        if len(meant) < len(written) or not _NEEDED[self.kind] <= meant <= _ALLOWED[self.kind]:
            raise ValueError(_WORDS_OF_KIND[self.kind])
        if self.webhook_file is not None:
            try:
                webhook(self.webhook_file.key)
            except ValueError as error:
                raise ValueError("the address of the bot, as Feishu shows it, in webhook_file") from error
        return self


def _blank_is_empty(value: object) -> object:
    """An agent with nothing to its name is one all the same: ``coo:`` alone on its line."""
    if isinstance(value, dict):
        return {key: {} if entry is None else entry for key, entry in value.items()}
    return value


class RosterFile(_Entry):
    """The whole file. Every part of it may be missing."""

    timezone: Zone = "UTC"
    missed: MissedPolicy = "run_once"
    quiet_hours: Quiet | None = None
    report_at: MinuteOfDay | None = None
    report_to: Names = (DEFAULT_TARGET,)
    classes: Annotated[dict[Name, RulesEntry], BeforeValidator(_blank_is_empty)] = Field(default_factory=dict)
    agents: Annotated[dict[AgentId, AgentEntry], BeforeValidator(_blank_is_empty)] = Field(
        default_factory=dict
    )
    notify: dict[TargetName, TargetEntry] = Field(default_factory=dict)
    commands: dict[Name, Arguments] = Field(default_factory=dict)
