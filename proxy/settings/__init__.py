"""Every setting of the sidecar, declared once: variable, YAML key, default, type, meaning.

The rule: names and defaults are a contract with users, and ``docs/settings.md`` is checked against this file;
everything is validated at the start, also what takes effect in a later release. Durations are seconds and may
be decimal, sizes are bytes, rates are requests per minute.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from proxy.settings import rules
from proxy.settings.parts import Client, Clients, LaneKey, LaneKeys, Provider, Retreat
from proxy.settings.surroundings import look_around
from proxy.settings.values import (
    Aliases,
    Model,
    Models,
    NotYet,
    Policy,
    ProviderName,
    QueueFullPolicy,
    Retries,
    Rpm,
    UpstreamUrl,
)
from shared.settings import Conflict, ProcessSettings, Setting, Surroundings
from shared.settings.keys import Key
from shared.settings.surroundings import STATE_DIR_AT_HOME
from shared.settings.values import (
    Bytes,
    Count,
    Directory,
    Flag,
    Host,
    Hosts,
    LogFormat,
    LogLevel,
    Port,
    Seconds,
    SomeSeconds,
)

__all__ = ["Client", "LaneKey", "Provider", "QueueFullPolicy", "Retreat", "Settings"]

# OpenClaw gives a stream up after 300 s without a chunk: waiting on is no use.
LONGEST_SILENCE_SECONDS = 300.0


class Settings(ProcessSettings):
    """The settings of one sidecar, frozen. ``load(Settings, environ, file)`` makes one."""

    model_config = SettingsConfigDict(env_prefix="SIDECAR_")
    known_variables: ClassVar[frozenset[str]] = frozenset({"SIDECAR_CONFIG", "SIDECAR_API_KEY_FILE"})

    listen_host: Annotated[Host, Setting("HOST")] = "127.0.0.1"
    """address of the proxy and of the metrics"""
    listen_port: Annotated[Port, Setting("PORT")] = 9190
    """port of the proxy; 0: a free one, named in the `sidecar_started` log line"""
    metrics_port: Annotated[Port, Setting("METRICS_PORT")] = 9191
    """port for Prometheus; must differ from the proxy's"""
    upstream_url: Annotated[UpstreamUrl, Setting("UPSTREAM")] = "https://integrate.api.nvidia.com/v1"
    """the NVIDIA API, with or without `/v1` and a slash at the end"""
    upstream_api_key: Annotated[Key, Setting("API_KEY")] = SecretStr("")
    """sent instead of the client's key; empty: the client's own key is passed on. Also
    `SIDECAR_API_KEY_FILE` and systemd's `$CREDENTIALS_DIRECTORY/sidecar-api-key`"""
    rate_rpm: Annotated[Rpm, Setting("RATE_RPM")] = 40.0
    """requests per 60 s"""
    bucket_capacity: Annotated[Count, Setting("BUCKET_CAPACITY")] = 40
    """the longest burst after idleness, in requests; 20 is kinder"""
    window_seconds: Annotated[SomeSeconds, Setting("WINDOW_SECONDS")] = 60.0
    """in any window this long at most L = floor(`rate_rpm` x `window_seconds` / 60) requests"""
    window_margin_seconds: Annotated[Seconds, Setting("WINDOW_MARGIN")] = 1.0
    """added to the window, for the way to the upstream"""
    request_timeout: Annotated[SomeSeconds, Setting("TIMEOUT")] = 60.0
    """longest silence between two bytes of an answer; above 300 it is cut to 300. Set explicitly, it also
    bounds the wait for the first byte"""
    first_byte_timeout: Annotated[SomeSeconds, Setting("FIRST_BYTE_TIMEOUT")] = 300.0
    """longest silence before an answer begins"""
    queue_max_size: Annotated[Count, Setting("QUEUE_MAX")] = 500
    """waiting requests, at most"""
    queue_timeout: Annotated[Seconds, Setting("QUEUE_TIMEOUT")] = 300.0
    """longest wait for a slot: urgent, high, normal"""
    low_priority_timeout: Annotated[Seconds, Setting("LOW_TIMEOUT")] = 2.0
    """longest wait for a slot: low"""
    queue_full_policy: Annotated[Policy, Setting("QUEUE_POLICY")] = "passthrough"
    """what a full queue does: `passthrough`, `reject`, `drop_lowest`"""
    fallback_enabled_passthrough: Annotated[Flag, Setting("FALLBACK_PASSTHROUGH")] = True
    """`false` turns `passthrough` into `reject`"""
    max_retries: Annotated[Retries, Setting("MAX_RETRIES")] = 5
    """further attempts after an upstream failure that is worth one"""
    aging_seconds: Annotated[SomeSeconds, Setting("AGING_SECONDS")] = 60.0
    """after this long a priority takes part in the one above"""
    keepalive_after: Annotated[Seconds, Setting("KEEPALIVE_AFTER")] = 240.0
    """a waiting stream is answered with empty chunks from then on"""
    models_ttl: Annotated[Seconds, Setting("MODELS_TTL")] = 600.0
    """how long the list of models is kept"""
    max_body_bytes: Annotated[Bytes, Setting("MAX_BODY_BYTES")] = 33_554_432
    """largest request body; more: 413"""
    drain_seconds: Annotated[Seconds, Setting("DRAIN_SECONDS")] = 30.0
    """how long a stop waits for what is under way"""
    # Which home it is, ``load`` is told by the environment; here the default stays as it is written.
    state_dir: Annotated[Directory, Setting("STATE_DIR")] = Field(
        default=Path("~", STATE_DIR_AT_HOME), validate_default=False
    )
    """what outlives a restart; default `$STATE_DIRECTORY`, else the home's"""
    admin_token: Annotated[Key, Setting("ADMIN_TOKEN")] = SecretStr("")
    """for `/api/admin/*`; empty: made at the first start, kept in `state_dir`"""
    allowed_hosts: Annotated[Hosts, Setting("ALLOWED_HOSTS")] = ()
    """host names accepted besides loopback's, comma-separated"""
    allow_open: Annotated[Flag, Setting("ALLOW_OPEN")] = False
    """`true` lets it listen beyond loopback without `clients`"""
    log_level: Annotated[LogLevel, Setting("LOG_LEVEL")] = "INFO"
    """`DEBUG`, `INFO`, `WARNING`, `ERROR`, `CRITICAL`"""
    log_format: Annotated[LogFormat, Setting("LOG_FORMAT")] = "json"
    """`json`: a JSON object per line; `console`: for people"""
    redis_url: Annotated[NotYet, Setting("REDIS_URL")] = ""
    """does not work yet in this release: leave it empty"""
    gateway_aliases: Aliases = ("nvidia*",)
    """first segments of a model's name that are OpenClaw's provider names, and stripped"""
    providers: dict[ProviderName, Provider] = Field(default_factory=dict)
    """other upstreams by name: `url`, `api_key` or `api_key_file`, `rate_rpm` (none: unlimited)"""
    keys: LaneKeys = ()
    """several NVIDIA keys, a budget each: list of `name`, `key_file`, `rate_rpm`, `enabled`"""
    fallbacks: dict[Model, Models] = Field(default_factory=dict)
    """substitutes for models that cannot be had: `model: [model, …]`"""
    clients: Clients = ()
    """who may call: list of `name`, `key_sha256`, `max_priority`; none: anybody"""
    retreat: Retreat = Retreat()
    """how the pace gives way to 429s and comes back"""

    @model_validator(mode="after")
    def _cut_request_timeout(self) -> Self:
        asked = self.request_timeout
        if asked > LONGEST_SILENCE_SECONDS:
            # Frozen for everybody else: here the object is still being made.
            object.__setattr__(self, "request_timeout", LONGEST_SILENCE_SECONDS)
            self._warnings += (
                f"request_timeout (SIDECAR_TIMEOUT) is cut from {asked:g} to {LONGEST_SILENCE_SECONDS:g} s",
            )
        return self

    @classmethod
    def surroundings(cls, environ: Mapping[str, str]) -> Surroundings:
        """The key in a file of its own, and the state directory that systemd or the home offers."""
        return look_around(environ)

    def conflicts(self) -> Iterable[Conflict]:
        """What is wrong between settings."""
        return rules.conflicts(self)

    @property
    def own_key(self) -> SecretStr:
        """The key that is sent to NVIDIA in the place of the clients'; empty: theirs are sent."""
        named = (key.key for key in self.keys if key.enabled)
        return self.upstream_api_key or next(named, SecretStr(""))

    @property
    def has_own_key(self) -> bool:
        """Whether a key of ours is sent to NVIDIA, and never a client's."""
        return bool(self.own_key)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the ports. A name that only a resolver knows does not count."""
        try:
            return ipaddress.ip_address(self.listen_host).is_loopback
        except ValueError:
            return self.listen_host == "localhost"

    @property
    def window_limit(self) -> int:
        """L: requests in any window of the general rate."""
        return self.lane_limit(self.rate_rpm)

    def lane_limit(self, rate_rpm: float) -> int:
        """L at this rate. In exact decimals: as floats, 0.29 x 6000 / 60 is a little less than 29."""
        return floor(Fraction(repr(rate_rpm)) * Fraction(repr(self.window_seconds)) / 60)

    @property
    def first_byte_seconds(self) -> float:
        """Longest silence before an answer begins, with what an explicit ``request_timeout`` asks for."""
        if self.is_explicit("request_timeout"):
            return min(self.first_byte_timeout, self.request_timeout)
        return self.first_byte_timeout

    @property
    def effective_queue_full_policy(self) -> QueueFullPolicy:
        """What a full queue really does."""
        if self.queue_full_policy == "passthrough" and not self.fallback_enabled_passthrough:
            return "reject"
        return self.queue_full_policy
