"""What a process declares about its settings: variables, meanings, words, rules."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import (
    BaseModel,
    GetCoreSchemaHandler,
    PrivateAttr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

Source = Literal["environment", "file", "default"]
Where = tuple[str | int, ...]  # ("keys", 0, "rate_rpm"): the way to a value, as in YAML


@dataclass(frozen=True, slots=True)
class Setting:
    """The variable of a field, without the prefix; a field without one is for the YAML file only.

    ``prefixed=False`` is a variable whose name is whole as it stands (the scheduler's ``AUDIT_*``).
    """

    variable: str
    prefixed: bool = True


class UnexpectedError(ValueError):
    """A value is not what ``Expect`` asks for. It travels through pydantic to the problem line."""

    def __init__(self, words: str, *, secret: bool) -> None:
        super().__init__(words)
        self.secret = secret


@dataclass(frozen=True, slots=True)
class Expect:
    """What a value must be, in plain words that follow "expected"; the last note of an ``Annotated``.

    A validator before it may raise ``ValueError`` with better words of its own, or without any. The value is
    shown to the operator unless it is ``secret``; a wrong value without an ``Expect`` is never shown.
    """

    words: str
    secret: bool = False

    def __get_pydantic_core_schema__(self, source: type, handler: GetCoreSchemaHandler) -> object:
        return WrapValidator(self._judge).__get_pydantic_core_schema__(source, handler)

    def _judge(self, value: object, validate: ValidatorFunctionWrapHandler) -> object:
        try:
            return validate(value)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            if fault["loc"]:  # something inside the value is wrong, and has told so itself
                raise
            said = fault.get("ctx", {}).get("error", "")
            raise UnexpectedError(str(said) or self.words, secret=self.secret) from None


@dataclass(frozen=True, slots=True)
class Shown:
    """A note of an ``Annotated``: how the effective view shows what is no plain data, or secret in parts."""

    text: Callable[[Any], str]


class Origin(NamedTuple):
    """Where a value came from: the kind of place, and its name there as the operator wrote it."""

    source: Source
    name: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Values that are each right and do not go together. ``others``: the further top-level keys involved."""

    where: Where
    value: object
    expected: str
    others: tuple[str, ...] = ()


@dataclass(slots=True)
class Surroundings:
    """What a process finds around it besides its own variables: credentials, directories from systemd.

    ``values``: key -> (variable, value), as good as set by variable. ``defaults``: used where nothing is set.
    ``problems``: key -> line.
    """

    values: dict[str, tuple[str, str]] = field(default_factory=dict)
    defaults: dict[str, object] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


class ProcessSettings(BaseSettings):
    """What pydantic-settings asks to be a base class: frozen, strict about names, fed by ``load`` only.

    Built directly (``Settings(rate_rpm=600)``, in tests) it holds the arguments and the defaults; the
    environment plays no part then, and ``conflicts`` are not looked for.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    known_variables: ClassVar[frozenset[str]] = frozenset()
    """Whole names with our prefix that mean something to the process but are no field, such as X_CONFIG."""

    # Written once by ``load``, before anybody else sees the object.
    _origins: dict[str, Origin] = PrivateAttr(default_factory=dict)
    _config_file: Path | None = PrivateAttr(default=None)
    _warnings: tuple[str, ...] = PrivateAttr(default=())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_others: PydanticBaseSettingsSource,
        **_named: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The library's own sources read ``os.environ`` and name no line of a file: ``load`` does both."""
        del settings_cls
        return (init_settings,)

    @classmethod
    def surroundings(cls, environ: Mapping[str, str]) -> Surroundings:
        """What else the environment says, beyond one variable per field."""
        return Surroundings()

    def conflicts(self) -> Iterable[Conflict]:
        """Rules between settings, asked once each setting for itself is right."""
        return ()

    def settle(self, origins: Mapping[str, Origin], file: Path | None) -> None:
        """Called by ``load``, once: where the values came from."""
        self._origins = dict(origins)
        self._config_file = file

    def origin(self, key: str) -> Origin:
        """Where the value of this top-level key came from."""
        return self._origins.get(key, Origin("default", key))

    def is_explicit(self, key: str) -> bool:
        """Whether somebody set this key, be it to its default."""
        return key in (self._origins or self.model_fields_set)

    @property
    def config_file(self) -> Path | None:
        """The YAML file that was read."""
        return self._config_file

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was accepted but not as it was asked for; one line each, for the log."""
        return self._warnings


def keys_of(kind: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields under the keys that people write: ``class`` is no name in Python, but one in YAML."""
    return {info.alias or key: info for key, info in kind.model_fields.items()}


def setting_of(info: FieldInfo) -> Setting | None:
    """The variable of a top-level field, if it has one."""
    return next((note for note in info.metadata if isinstance(note, Setting)), None)


def variables(kind: type[ProcessSettings]) -> dict[str, str]:
    """Each key that has a variable, with the variable's whole name."""
    prefix = kind.model_config.get("env_prefix", "")
    return {
        key: (prefix if setting.prefixed else "") + setting.variable
        for key, info in kind.model_fields.items()
        if (setting := setting_of(info))
    }
