"""Every setting of the sidecar, declared once: variable, YAML key, default, bounds, meaning.

The rule: names and defaults are a contract with users (``docs/settings.md`` is checked against this file);
everything is validated at the start, also what takes effect in a later release. Durations are seconds and may
be decimal, sizes are bytes, rates are requests per minute.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    model_validator,
)
from pydantic_settings import SettingsConfigDict

from shared.settings import (
    Conflict,
    Expect,
    ProcessSettings,
    Setting,
    Surroundings,
    Where,
    masked,
    show,
    wrong,
)

LONGEST_SILENCE_SECONDS = (
    300.0  # OpenClaw gives a stream up after 300 s without a chunk: waiting on is no use
)
STATE_DIR_AT_HOME = ".local/state/clawpace"
CREDENTIAL = "sidecar-api-key"  # the name in systemd's LoadCredential=
MAX_KEY_FILE_BYTES = 16_384  # a key is a line; more is the wrong file

QueueFullPolicy = Literal["passthrough", "reject", "drop_lowest"]
PriorityName = Literal["urgent", "high", "normal", "low"]


# ---------------------------------------------------------------------------------------------- single values
# A validator raises ValueError with what was expected; without words it means the words of ``Expect``.


def _no_truth_value(value: object) -> object:
    """YAML's ``true`` would count as 1, and ``on`` is YAML for true."""
    if isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - pydantic reports a ValueError and lets a TypeError through
    return value


def _host(value: str) -> str:
    bare = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        name = value.lower().removesuffix(".")
        if (
            len(name) <= 253
            and re.fullmatch(_HOST_NAME, name, re.ASCII)
            and not name.split(".")[-1].isdigit()
        ):
            return name
    raise ValueError


_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = rf"{_LABEL}(\.{_LABEL})*"


def _host_list(value: object) -> object:
    """A comma-separated variable or a YAML list; a comma too many is no host."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _path(value: object) -> object:
    if isinstance(value, str):
        if not value.strip() or not value.isprintable():
            raise ValueError
        try:
            return Path(value).expanduser().absolute()
        except (OSError, RuntimeError) as error:
            raise ValueError("a directory (there is no home to stand for the ~)") from error
    return value


def _state_dir_at_home() -> Path:
    """For settings that are built directly; ``surroundings`` finds the default for those that are loaded."""
    try:
        return Path.home() / STATE_DIR_AT_HOME
    except RuntimeError:  # an account without a home
        return Path("/nonexistent") / STATE_DIR_AT_HOME


_KEY_WORDS = "one key: printable characters without spaces, and without the word Bearer"


def _clean_key(text: str) -> str:
    """Copied keys bring spaces and newlines along; inside, they would break or forge the header."""
    key = text.strip()
    if re.fullmatch(r"[!-~]*", key) is None:
        raise ValueError(_KEY_WORDS)
    return key


def _clean_secret(value: SecretStr) -> SecretStr:
    return SecretStr(_clean_key(value.get_secret_value()))


def read_key_file(path: Path) -> SecretStr:
    """The key in a file of its own; ``ValueError`` says what is wrong with it, never what is in it."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_KEY_FILE_BYTES + 1)
        key = _clean_key(raw.decode("ascii"))
    except OSError as error:
        raise ValueError(f"a readable file with the key ({error.strerror})") from error
    except ValueError:
        key = ""
    if not key or len(raw) > MAX_KEY_FILE_BYTES:
        raise ValueError(f"a file with nothing but {_KEY_WORDS}") from None
    return SecretStr(key)


@dataclass(frozen=True)
class KeyFile:
    """A file and the key that was in it when the settings were read; unread if its lane is not enabled."""

    path: Path
    key: SecretStr

    def __str__(self) -> str:
        return str(self.path)


def _key_file(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    path = _path(value)
    assert isinstance(path, Path)
    return KeyFile(path, read_key_file(path) if info.data.get("enabled", True) else SecretStr(""))


_URL_WORDS = "an http:// or https:// address with a host and nothing but a path after it"
_PATH = r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*"


def _base_url(value: str) -> str:
    """Scheme, host and path without a slash at the end. The bad ones are ways to send a key elsewhere."""
    if not value.isascii() or not value.isprintable() or re.search(r"[\s\\@?#%]", value):
        raise ValueError
    try:
        parts = urlsplit(value)
        path, port = parts.path.rstrip("/"), parts.port
    except ValueError:  # whose words may quote the value
        raise ValueError from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ValueError
    if re.fullmatch(_PATH, path) is None:
        raise ValueError
    if path.endswith(("/chat/completions", "/completions", "/embeddings", "/models")):
        raise ValueError("the address up to /v1, without the endpoint after it")
    host = _host(parts.hostname)
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{path}"


def _upstream_url(value: str) -> str:
    base = _base_url(value)
    while base.endswith("/v1"):
        base = base.removesuffix("/v1")
    return base + "/v1"


def _provider_url(value: str) -> str:
    """Others have other versions in their paths (``/api/paas/v4``): only a bare host gets a ``/v1``."""
    base = _base_url(value)
    return base if base.count("/") > 2 else base + "/v1"


def _not_yet(value: str) -> str:
    if value:
        raise ValueError("nothing: one budget for several sidecars does not work yet in this release")
    return value


def _other_provider(name: str) -> str:
    # ``nvidia/…`` are ids of NVIDIA's own catalogue: they must not get past the limiter.
    if name.lower() == "nvidia":
        raise ValueError("another name: nvidia is the limited upstream itself")
    return name


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Flag = Annotated[bool, Expect("true or false")]
Number = Annotated[float, BeforeValidator(_no_truth_value), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_no_truth_value)]
Port = Annotated[Whole, Field(ge=0, le=65535), Expect("a whole number from 0 to 65535")]
Count = Annotated[Whole, Field(ge=1, le=10**9), Expect("a whole number from 1 to 1000000000")]
Seconds = Annotated[Number, Field(ge=0, le=1e9), Expect("a number of seconds from 0 to 1000000000")]
SomeSeconds = Annotated[Number, Field(gt=0, le=1e9), Expect("a number of seconds above 0, up to 1000000000")]
Rpm = Annotated[Number, Field(gt=0, le=1e6), Expect("a number of requests per minute above 0, up to 1000000")]
Share = Annotated[Number, Field(ge=0, le=1), Expect("a share from 0 to 1")]
Priority = Annotated[PriorityName, BeforeValidator(_lower), Expect("one of urgent, high, normal, low")]
HostWords = Expect("a host name or an IP address, without a port")
Host = Annotated[str, AfterValidator(_host), HostWords]
Key = Annotated[SecretStr, AfterValidator(_clean_secret), Expect(_KEY_WORDS)]
NamedFile = Annotated[
    InstanceOf[KeyFile], BeforeValidator(_key_file), Expect("a file with a key in it", path=True)
]
Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
    Expect("a name of letters, digits, '.', '_' and '-', at most 64"),
]
ProviderName = Annotated[Name, AfterValidator(_other_provider)]
Model = Annotated[
    str,
    StringConstraints(pattern=r"^[!-~]{1,256}$"),
    Expect("the id of a model, such as meta/llama-3.1-8b-instruct"),
]
Alias = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9._*?-]{1,64}$"),
    Expect("a name in which * and ? may stand for others, such as nvidia*"),
]


# ---------------------------------------------------------------------------------------------- YAML only


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Retreat(_Part):
    """How the pace gives way to 429s and comes back (contract, section 4). Shares are of answers."""

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

    url: Annotated[str, AfterValidator(_provider_url), Expect(_URL_WORDS)]
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
        BeforeValidator(_lower),
        StringConstraints(pattern=r"^[0-9a-f]{64}$"),
        # Secret, because what stands here by mistake is the key itself.
        Expect("64 hexadecimal digits, as sha256sum prints them", secret=True),
    ]
    max_priority: Priority = "urgent"


def _distinct_keys(value: tuple[LaneKey, ...]) -> tuple[LaneKey, ...]:
    _distinct("name", [key.name for key in value])
    return value


def _distinct_clients(value: tuple[Client, ...]) -> tuple[Client, ...]:
    _distinct("name", [client.name for client in value])
    _distinct("key_sha256", [client.key_sha256 for client in value])
    return value


def _distinct(what: str, values: list[str]) -> None:
    if len(set(values)) < len(values):
        raise ValueError(f"a different {what} for each entry")


def _real_substitutes(value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    if any(not others or model in others for model, others in value.items()):
        raise ValueError("at least one other model for each model")
    return value


# ---------------------------------------------------------------------------------------------- all of them


class Settings(ProcessSettings):
    """The settings of one sidecar, frozen. ``load(Settings, environ, file)`` makes one."""

    model_config = SettingsConfigDict(env_prefix="SIDECAR_")
    known_variables: ClassVar[frozenset[str]] = frozenset({"SIDECAR_CONFIG", "SIDECAR_API_KEY_FILE"})

    listen_host: Annotated[Host, Setting("HOST", "address of the proxy and of the metrics")] = "127.0.0.1"
    listen_port: Annotated[
        Port, Setting("PORT", "port of the proxy; 0: a free one, named in the `sidecar_started` log line")
    ] = 9190
    metrics_port: Annotated[
        Port, Setting("METRICS_PORT", "port for Prometheus; must differ from the proxy's")
    ] = 9191
    upstream_url: Annotated[
        str,
        AfterValidator(_upstream_url),
        Expect(_URL_WORDS),
        Setting("UPSTREAM", "the NVIDIA API, with or without `/v1` and a slash at the end"),
    ] = "https://integrate.api.nvidia.com/v1"
    upstream_api_key: Annotated[
        Key,
        Setting(
            "API_KEY",
            "sent instead of the client's key; empty: the client's own key is passed on. Also "
            "`SIDECAR_API_KEY_FILE` and systemd's `$CREDENTIALS_DIRECTORY/sidecar-api-key`",
        ),
    ] = SecretStr("")
    rate_rpm: Annotated[Rpm, Setting("RATE_RPM", "requests per 60 s")] = 40.0
    bucket_capacity: Annotated[
        Count, Setting("BUCKET_CAPACITY", "the longest burst after idleness, in requests; 20 is kinder")
    ] = 40
    window_seconds: Annotated[
        SomeSeconds,
        Setting(
            "WINDOW_SECONDS",
            "in any window this long at most L = floor(`rate_rpm` x `window_seconds` / 60) requests",
        ),
    ] = 60.0
    window_margin_seconds: Annotated[
        Seconds, Setting("WINDOW_MARGIN", "added to the window, for the way to the upstream")
    ] = 1.0
    request_timeout: Annotated[
        SomeSeconds,
        Setting(
            "TIMEOUT",
            "longest silence between two bytes of an answer; above 300 it is cut to 300. Set explicitly, it "
            "also bounds the wait for the first byte",
        ),
    ] = 60.0
    first_byte_timeout: Annotated[
        SomeSeconds, Setting("FIRST_BYTE_TIMEOUT", "longest silence before an answer begins")
    ] = 300.0
    queue_max_size: Annotated[Count, Setting("QUEUE_MAX", "waiting requests, at most")] = 500
    queue_timeout: Annotated[
        Seconds, Setting("QUEUE_TIMEOUT", "longest wait for a slot: urgent, high, normal")
    ] = 300.0
    low_priority_timeout: Annotated[Seconds, Setting("LOW_TIMEOUT", "longest wait for a slot: low")] = 2.0
    queue_full_policy: Annotated[
        QueueFullPolicy,
        BeforeValidator(_lower),
        Expect("one of passthrough, reject, drop_lowest"),
        Setting("QUEUE_POLICY", "what a full queue does: `passthrough`, `reject`, `drop_lowest`"),
    ] = "passthrough"
    fallback_enabled_passthrough: Annotated[
        Flag, Setting("FALLBACK_PASSTHROUGH", "`false` turns `passthrough` into `reject`")
    ] = True
    max_retries: Annotated[
        Whole,
        Field(ge=0, le=1000),
        Expect("a whole number from 0 to 1000"),
        Setting("MAX_RETRIES", "further attempts after an upstream failure that is worth one"),
    ] = 5
    aging_seconds: Annotated[
        SomeSeconds, Setting("AGING_SECONDS", "after this long a priority takes part in the one above")
    ] = 60.0
    keepalive_after: Annotated[
        Seconds, Setting("KEEPALIVE_AFTER", "a waiting stream is answered with empty chunks from then on")
    ] = 240.0
    models_ttl: Annotated[Seconds, Setting("MODELS_TTL", "how long the list of models is kept")] = 600.0
    max_body_bytes: Annotated[
        Whole,
        Field(ge=1, le=2**40),
        Expect("a whole number of bytes above 0"),
        Setting("MAX_BODY_BYTES", "largest request body; more: 413"),
    ] = 33_554_432
    drain_seconds: Annotated[
        Seconds, Setting("DRAIN_SECONDS", "how long a stop waits for what is under way")
    ] = 30.0
    state_dir: Annotated[
        Path,
        BeforeValidator(_path),
        Expect("a directory"),
        Setting("STATE_DIR", "what outlives a restart; default `$STATE_DIRECTORY`, else the home's"),
    ] = Field(default_factory=_state_dir_at_home)
    admin_token: Annotated[
        Key,
        Setting("ADMIN_TOKEN", "for `/api/admin/*`; empty: made at the first start, kept in `state_dir`"),
    ] = SecretStr("")
    allowed_hosts: Annotated[
        tuple[Host, ...],
        BeforeValidator(_host_list),
        HostWords,
        Setting("ALLOWED_HOSTS", "host names accepted besides loopback's, comma-separated"),
    ] = ()
    allow_open: Annotated[
        Flag, Setting("ALLOW_OPEN", "`true` lets it listen beyond loopback without `clients`")
    ] = False
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        BeforeValidator(_upper),
        Expect("one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        Setting("LOG_LEVEL", "`DEBUG`, `INFO`, `WARNING`, `ERROR`, `CRITICAL`"),
    ] = "INFO"
    log_format: Annotated[
        Literal["json", "console"],
        BeforeValidator(_lower),
        Expect("one of json, console"),
        Setting("LOG_FORMAT", "`json`: a JSON object per line; `console`: for people"),
    ] = "json"
    redis_url: Annotated[
        str,
        AfterValidator(_not_yet),
        Setting("REDIS_URL", "does not work yet in this release: leave it empty"),
    ] = ""
    gateway_aliases: Annotated[
        tuple[Alias, ...],
        Setting(None, "first segments of a model's name that are OpenClaw's provider names, and stripped"),
    ] = ("nvidia*",)
    providers: Annotated[
        dict[ProviderName, Provider],
        Setting(
            None,
            "other upstreams by name: `url`, `api_key` or `api_key_file`, `rate_rpm` (none: unlimited)",
        ),
    ] = Field(default_factory=dict)
    keys: Annotated[
        tuple[LaneKey, ...],
        AfterValidator(_distinct_keys),
        Setting(
            None, "several NVIDIA keys, a budget each: list of `name`, `key_file`, `rate_rpm`, `enabled`"
        ),
    ] = ()
    fallbacks: Annotated[
        dict[Model, tuple[Model, ...]],
        AfterValidator(_real_substitutes),
        Setting(None, "substitutes for models that cannot be had: `model: [model, …]`"),
    ] = Field(default_factory=dict)
    clients: Annotated[
        tuple[Client, ...],
        AfterValidator(_distinct_clients),
        Setting(None, "who may call: list of `name`, `key_sha256`, `max_priority`; none: anybody"),
    ] = ()
    retreat: Annotated[Retreat, Setting(None, "how the pace gives way to 429s and comes back")] = Retreat()

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
        around = Surroundings()
        first = environ.get("STATE_DIRECTORY", "").split(":")[0]
        home = environ.get("HOME", "")
        around.defaults["state_dir"] = first or (
            f"{home}/{STATE_DIR_AT_HOME}" if home else f"~/{STATE_DIR_AT_HOME}"
        )
        named = environ.get("SIDECAR_API_KEY_FILE", "")
        if environ.get("SIDECAR_API_KEY", "").strip():
            if named:
                around.warnings.append("SIDECAR_API_KEY_FILE is not read: SIDECAR_API_KEY is set")
        elif named:
            _take_key(around, "SIDECAR_API_KEY_FILE", named)
        elif directory := environ.get("CREDENTIALS_DIRECTORY", ""):
            # A directory that systemd made, perhaps with other credentials only: no file is no problem.
            _take_key(
                around, f"$CREDENTIALS_DIRECTORY/{CREDENTIAL}", f"{directory}/{CREDENTIAL}", may_lack=True
            )
        return around

    def conflicts(self) -> Iterator[Conflict]:
        """What is wrong between settings (contract, sections 2 and 7)."""
        if self.metrics_port == self.listen_port != 0:
            yield Conflict(
                ("metrics_port",), self.metrics_port, "another port than the proxy's", ("listen_port",)
            )
        for where, rate in self._rates():
            if self.lane_limit(rate) < 1:
                yield Conflict(
                    where,
                    rate,
                    "at least one request per window: rate_rpm x window_seconds / 60 must not be below 1, "
                    f"and {rate:g} x {self.window_seconds:g} / 60 is",
                    ("window_seconds",),
                )
        if self.clients and not self.has_own_key:
            yield Conflict(
                ("clients",),
                self.clients,
                "a key of our own beside it (SIDECAR_API_KEY or keys): a client's key is never sent upstream",
                ("upstream_api_key", "keys"),
            )
        if not (self.is_loopback or self.clients or self.allow_open):
            yield Conflict(
                ("listen_host",),
                self.listen_host,
                "a loopback address such as 127.0.0.1, or clients that must name themselves, or "
                "SIDECAR_ALLOW_OPEN=true: anybody who reaches it may spend the budget",
                ("clients", "allow_open"),
            )

    def _rates(self) -> Iterator[tuple[Where, float]]:
        yield ("rate_rpm",), self.rate_rpm
        for index, key in enumerate(self.keys):
            if key.rate_rpm is not None:
                yield ("keys", index, "rate_rpm"), key.rate_rpm
        for name, provider in self.providers.items():
            if provider.rate_rpm is not None:
                yield ("providers", name, "rate_rpm"), provider.rate_rpm

    @property
    def has_own_key(self) -> bool:
        """Whether a key of ours is sent to NVIDIA, and never a client's."""
        return bool(self.upstream_api_key) or any(key.enabled for key in self.keys)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the ports. A name that only a resolver knows does not count."""
        try:
            return ipaddress.ip_address(self.listen_host).is_loopback
        except ValueError:
            return self.listen_host == "localhost" or self.listen_host.endswith(".localhost")

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


def _take_key(around: Surroundings, variable: str, named: str, *, may_lack: bool = False) -> None:
    try:
        path = _path(named)
        assert isinstance(path, Path)
        around.values["upstream_api_key"] = (variable, read_key_file(path).get_secret_value())
    except ValueError as error:
        if may_lack and isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            return
        # Without a slash it is less likely a file than the key itself.
        shown = show(named) if "/" in named else masked(named)
        around.problems["upstream_api_key"] = wrong(variable, shown, str(error) or "a file with the key")
