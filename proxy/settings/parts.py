"""What only the YAML file has, because it is more than a value: retreat, providers, keys, clients."""

from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)

from proxy.settings.values import Priority, ProviderUrl, Rpm
from shared.settings import Expect
from shared.settings.keys import Key, NamedFile
from shared.settings.values import Count, Flag, Lower, Name, Number, Share, SomeSeconds


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Retreat(_Part):
    """How the pace gives way to 429s and comes back. Shares are of answers."""

    window_seconds: SomeSeconds = 60.0
    judge_seconds: SomeSeconds = 15.0
    min_answers: Count = 5
    floor_min_answers: Count = 20
    enter_share: Share = 0.05
    deepen_share: Share = 0.10
    floor_share: Share = 0.20
    factor: Annotated[Number, Field(gt=0, lt=1), Expect("a number between 0 and 1")] = 0.75
    floor_rpm: Rpm = 5.0
    recover_seconds: SomeSeconds = 120.0
    recover_share: Share = 0.02
    recover_step_rpm: Rpm = 2.0


class Provider(_Part):
    """Another OpenAI-compatible upstream. Without a ``rate_rpm`` it is not limited."""

    url: ProviderUrl
    api_key: Key = SecretStr("")
    api_key_file: NamedFile | None = None
    rate_rpm: Rpm | None = None

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if bool(self.api_key) == (self.api_key_file is not None):
            raise ValueError("one of api_key and api_key_file in it: no other key is ever sent there")
        return self

    @property
    def key(self) -> SecretStr:
        """The one key that is sent there."""
        return self.api_key if self.api_key_file is None else self.api_key_file.key


class LaneKey(_Part):
    """One more credential for the NVIDIA upstream: a lane of its own. ``rate_rpm`` None: the general one."""

    name: Name
    enabled: Flag = True  # declared before the file, which is not read for a lane that is off
    key_file: NamedFile
    rate_rpm: Rpm | None = None

    @property
    def key(self) -> SecretStr:
        """The key that is sent; empty while not enabled."""
        return self.key_file.key


class Client(_Part):
    """Who may call, known by the SHA-256 of the key; nothing above ``max_priority`` is heard."""

    name: Name
    key_sha256: Annotated[
        str,
        Lower,
        StringConstraints(pattern=r"^[0-9a-f]{64}$"),
        # Secret, because what stands here by mistake is the key itself.
        Expect("64 hexadecimal digits, as sha256sum prints them", secret=True),
    ]
    max_priority: Priority = "urgent"


def _distinct(*fields: str) -> AfterValidator:
    def check(entries: tuple[BaseModel, ...]) -> tuple[BaseModel, ...]:
        for field in fields:
            if len({getattr(entry, field) for entry in entries}) < len(entries):
                raise ValueError(f"a different {field} for each entry")
        return entries

    return AfterValidator(check)


LaneKeys = Annotated[tuple[LaneKey, ...], _distinct("name")]
Clients = Annotated[tuple[Client, ...], _distinct("name", "key_sha256")]
