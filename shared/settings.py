"""How a process gets its settings: environment > YAML file > default, and every problem at once.

The rule: nothing here knows a particular setting, and nothing here reads ``os.environ``. A process declares
its fields once, each with a ``Setting`` that names its variable; ``load`` takes the environment as an
argument and returns one frozen object that knows where each value came from, or raises ``StartError`` with
one line per problem.

No line ever shows a secret: values of secret settings are masked, a secret that strayed into another value is
masked there, lists and mappings are named but not printed, and a YAML error never quotes the file.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, PrivateAttr, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from shared.errors import StartError

Source = Literal["environment", "file", "default"]
Where = tuple[str | int, ...]  # ("keys", 0, "rate_rpm"): the way to a value, as in YAML

MAX_FILE_BYTES = 2**20  # a settings file is a page of text; more is a mistake, such as a log or a device
MAX_SHOWN = 80  # characters of a wrong value: enough to recognise it, and still one line


# ---------------------------------------------------------------------------------------------- declaring


@dataclass(frozen=True, slots=True)
class Setting:
    """What the operator knows of a field: its variable (without the prefix) and its meaning.

    ``variable=None`` is a setting that only the YAML file has. ``prefixed=False`` is a variable whose name is
    whole as it stands (the scheduler's ``AUDIT_*``).
    """

    variable: str | None
    meaning: str
    prefixed: bool = True


@dataclass(frozen=True, slots=True)
class Expect:
    """What a value must be, in plain words that follow "expected".

    ``secret``: a wrong value is masked. ``path``: it is masked unless it has a slash in it, because what
    stands by mistake where the file with a key is asked for is the key.
    """

    words: str
    secret: bool = False
    path: bool = False


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
    ``problems``: key -> line. ``warnings``: lines.
    """

    values: dict[str, tuple[str, object]] = field(default_factory=dict)
    defaults: dict[str, object] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


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
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The library's own sources read ``os.environ`` and name no line of a file: ours take their place."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        assert isinstance(init_settings, InitSettingsSource)
        sources: tuple[PydanticBaseSettingsSource, ...] = init_settings.init_kwargs.get(
            "sources", (init_settings,)
        )
        return sources

    @classmethod
    def surroundings(cls, environ: Mapping[str, str]) -> Surroundings:
        """What else the environment says, beyond one variable per field."""
        return Surroundings()

    def conflicts(self) -> Iterable[Conflict]:
        """Rules between settings, asked once each setting for itself is right."""
        return ()

    def origin(self, key: str) -> Origin:
        """Where the value of this top-level key came from."""
        return self._origins.get(key, Origin("default", key))

    def is_explicit(self, key: str) -> bool:
        """Whether somebody set this key, be it to its default."""
        return key in self._origins if self._origins else key in self.model_fields_set

    def settle(self, origins: Mapping[str, Origin], file: Path | None, warnings: Iterable[str]) -> None:
        """Called by ``load``, once: where the values came from."""
        self._origins = dict(origins)
        self._config_file = file
        self._warnings = (*self._warnings, *warnings)

    @property
    def config_file(self) -> Path | None:
        """The YAML file that was read, for a later reading of the same."""
        return self._config_file

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was accepted but not as it was asked for; one line each, for the log."""
        return self._warnings


S = TypeVar("S", bound=ProcessSettings)


# ---------------------------------------------------------------------------------------------- showing


def masked(secret: str) -> str:
    """At most four characters, and none of a short one, where four would be a good part of it."""
    if not secret:
        return ""
    return secret[:4] + "****" if len(secret) > 12 and secret[:4].isprintable() else "****"


# What keys look like where none is expected: known prefixes, long runs of hexadecimals or mixed characters.
_KEY_LIKE = re.compile(
    r"(?:nvapi-|sk-|ghp_|xox[bp]-)\S+|[0-9A-Fa-f]{32,}"
    r"|(?=[\w-]*[0-9])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])[\w-]{20,}"
)
_SECRET_NAME = re.compile(r"key|token|secret|pass|cred|auth", re.IGNORECASE)


@dataclass(slots=True)
class _Display:
    """Shows values in problem lines. Owns ``known``: secrets met while reading, masked where they stray."""

    known: set[str] = field(default_factory=set)

    def text(self, value: str) -> str:
        for secret in sorted(self.known, key=len, reverse=True):
            value = value.replace(secret, masked(secret))
        value = value[:4096]
        if "://" in value:  # whose user part and query are where passwords and keys sit
            value = re.sub(r"(?<=://).*@", "****@", value, flags=re.DOTALL)
            value = re.sub(r"(?<=\?).+", "****", value, flags=re.DOTALL)
        return _KEY_LIKE.sub(lambda found: masked(found[0]), value)

    def name(self, name: object) -> str:
        """A name as the operator wrote it; in quotes where it would not be readable."""
        text = self.text(str(name))[:MAX_SHOWN]
        return text if text.isprintable() and text.strip() else repr(text)

    def value(self, value: object, *, secret: bool = False) -> str:
        if secret and isinstance(value, str | bytes | int | float) and not isinstance(value, bool):
            shown = masked(str(value)) or "empty"
        elif isinstance(value, str):
            text = self.text(value)
            shown = repr(text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…")
        elif isinstance(value, bool):
            shown = "true" if value else "false"
        elif (
            isinstance(value, int) and value.bit_length() > 128
        ):  # Python refuses to print the very long ones
            shown = "a number of far too many digits"
        elif isinstance(value, int | float):
            shown = self.text(str(value))
        else:
            shown = _KINDS.get(type(value), f"a {type(value).__name__}")
        return shown


_KINDS: dict[type, str] = {type(None): "empty", dict: "a mapping", list: "a list", tuple: "a list"}


def wrong(name: str, shown: str, expected: str) -> str:
    """The one form of a problem: whose value, which value, what was expected."""
    return f"{name} is {shown}, expected {expected}"


def show(value: object) -> str:
    """A value that is no secret, as problem lines show it."""
    return _Display().value(value)


def _suggestion(name: str, candidates: Mapping[str, str]) -> str:
    """The candidates map what people write (a variable, a key, in either one's case) to what is right."""
    close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.7)
    return candidates[close[0]] if close else ""


# ---------------------------------------------------------------------------------------------- reading


@dataclass(slots=True)
class _Reading:
    """What one place says: raw values by key, how each value is named there, and what could not be used."""

    values: dict[str, Any] = field(default_factory=dict)
    names: dict[Where, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    broken: bool = False

    def name(self, where: Where, written: str) -> str:
        """``written`` with the line of the value, or of the nearest thing around it that has one."""
        for length in range(len(where), 0, -1):
            if where[:length] in self.names:
                return self.names[where[:length]].format(written)
        return written


class _Given(PydanticBaseSettingsSource):
    """A source whose values are already there: pydantic-settings merges, it does not read."""

    def __init__(self, kind: type[BaseSettings], values: Mapping[str, Any]) -> None:
        super().__init__(kind)
        self._values = dict(values)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._values


def setting_of(info: FieldInfo) -> Setting:
    """The declaration of a top-level field."""
    return next(note for note in info.metadata if isinstance(note, Setting))


def variables(kind: type[ProcessSettings]) -> dict[str, str]:
    """Each key that has a variable, with the variable's whole name."""
    prefix = kind.model_config.get("env_prefix", "")
    declared = {key: setting_of(info) for key, info in kind.model_fields.items()}
    return {
        key: (prefix if setting.prefixed else "") + setting.variable
        for key, setting in declared.items()
        if setting.variable is not None
    }


def _read_environment(
    kind: type[ProcessSettings], environ: Mapping[str, str], around: Surroundings, display: _Display
) -> _Reading:
    names = variables(kind)
    found = {key: (name, environ[name]) for key, name in names.items() if name in environ} | around.values
    reading = _Reading({key: value for key, (_, value) in found.items()})
    reading.names = {(key,): name for key, (name, _) in found.items()}
    prefix = kind.model_config.get("env_prefix", "")
    known = {*names.values(), *kind.known_variables}
    candidates = {name.removeprefix(prefix): name for name in known}
    candidates |= {key.upper(): names[key] for key in names}
    for name in sorted(set(environ) - known):
        if prefix and name.startswith(prefix):
            meant = _suggestion(name.removeprefix(prefix), candidates)
            secret = bool(_SECRET_NAME.search(name + meant)) or (not meant and not _is_plain(environ[name]))
            shown = display.value(environ[name], secret=secret)
            hint = f"did you mean {meant}?" if meant else "there is no such setting"
            reading.problems.append(f"{display.name(name)} (set to {shown}) is unknown: {hint}")
    return reading


def _is_plain(value: str) -> bool:
    """Whether a value of unknown purpose is surely no secret: a number or a truth value."""
    return (
        re.fullmatch(r"[-+]?[0-9]{1,9}(\.[0-9]{1,6})?|true|false|yes|no|on|off", value, re.IGNORECASE)
        is not None
    )


def _read_file(kind: type[ProcessSettings], path: Path, display: _Display) -> _Reading:
    reading = _Reading()
    try:
        root, data = _parse(path)
    except _BadFileError as error:
        reading.problems.append(f"settings file {display.name(path)}{error}")
        reading.broken = True
        return reading
    for where, line, again in _walk(root):
        place = f"{display.name(path)} line {line}"
        if again:
            written = _written(where, display)
            reading.problems.append(f"{written} ({place}) is there twice, expected each key once")
        else:
            # A template for ``format``: braces in a path must not be taken for fields.
            reading.names[where] = "{} (" + place.replace("{", "{{").replace("}", "}}") + ")"
    candidates = {key: key for key in kind.model_fields}
    candidates |= {setting.lower(): key for key, setting in _bare_variables(kind)}
    for key, value in data.items():
        if key in kind.model_fields:
            if value is not None or not _may_be_left_blank(kind.model_fields[key]):
                reading.values[key] = value
        else:
            reading.problems.append(_unknown_key((str(key),), value, candidates, reading, display))
    return reading


def _bare_variables(kind: type[ProcessSettings]) -> Iterator[tuple[str, str]]:
    for key, info in kind.model_fields.items():
        if (variable := setting_of(info).variable) is not None:
            yield key, variable


def _may_be_left_blank(info: FieldInfo) -> bool:
    """``clients:`` with its children commented out is no setting; ``listen_port:`` alone is a slip."""
    blank = info.default in ("", (), {}) or (isinstance(info.default, SecretStr) and not info.default)
    return blank or setting_of(info).variable is None


def _unknown_key(
    where: Where, value: object, candidates: Mapping[str, str], reading: _Reading, display: _Display
) -> str:
    meant = _suggestion(str(where[-1]), candidates)
    hint = f"did you mean {display.name(meant)}?" if meant else "there is no such setting"
    plain = not isinstance(value, str) or _is_plain(value)
    secret = bool(_SECRET_NAME.search(str(where[-1]) + meant)) or (not meant and not plain)
    name = reading.name(where, _written(where, display))
    return f"{name} (set to {display.value(value, secret=secret)}) is unknown: {hint}"


def _written(where: Where, display: _Display) -> str:
    """``keys[0].rate_rpm``"""
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else ("." if text else "") + display.name(part)
    return text


class _BadFileError(Exception):
    """The settings file yields no mapping; the text follows its path in the problem line."""


def _parse(path: Path) -> tuple[yaml.Node | None, dict[Any, Any]]:
    """The document as nodes, which know their lines, and as data."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        raise _BadFileError(f" cannot be read: {reason}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise _BadFileError(f" is larger than {MAX_FILE_BYTES} bytes, expected a page of settings")
    try:
        loader = yaml.SafeLoader(raw.decode("utf-8-sig"))
        root = loader.get_single_node()
        data = loader.construct_document(root) if root is not None else {}
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _BadFileError(f" line {line} is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # The library's words may quote the file, which may hold a key; single characters are kept.
        words = re.sub(r"'[^']{2,}'|\"[^\"]{2,}\"", "…", error.problem or "syntax error")
        place = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise _BadFileError(f"{place} is not valid YAML: {words}") from None
    except yaml.reader.ReaderError as error:
        raise _BadFileError(
            f" has a character that YAML does not allow, at position {error.position}"
        ) from None
    except (ValueError, TypeError, RecursionError, OverflowError, AttributeError):
        # What the library lets through: an impossible date, a number of 5,000 digits, 10,000 brackets.
        raise _BadFileError(" is not valid YAML: a value in it cannot be read") from None
    if data is not None and not isinstance(data, dict):
        raise _BadFileError(f" holds {_Display().value(data, secret=True)}, expected a mapping of settings")
    return root, data or {}


def _walk(root: yaml.Node | None) -> Iterator[tuple[Where, int, bool]]:
    """Every place of the document with its line, and whether a key stood there before."""
    todo: list[tuple[Where, yaml.Node]] = [((), root)] if root is not None else []
    seen: set[int] = set()  # an anchor may contain itself
    while todo:
        where, node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key_node, value_node in node.value:
                key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
                yield (*where, key), key_node.start_mark.line + 1, key in keys and key != "<<"
                keys.add(key)
                todo.append(((*where, key), value_node))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                yield (*where, index), item.start_mark.line + 1, False
                todo.append(((*where, index), item))


# ---------------------------------------------------------------------------------------------- judging


def load(kind: type[S], environ: Mapping[str, str], file: Path | None = None) -> S:
    """The effective settings, or ``StartError`` (exit code 2) with every problem there is."""
    display = _Display()
    around = kind.surroundings(environ)
    environment = _read_environment(kind, environ, around, display)
    document = _read_file(kind, file, display) if file is not None else _Reading()
    display.known |= set(_secrets(kind, environment.values)) | set(_secrets(kind, document.values))
    problems = [*document.problems, *environment.problems, *around.problems.values()]

    layers = [environment.values, document.values, around.defaults]
    bad = set(around.problems)
    try:
        settings = _build(kind, layers, without=bad)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        problems += [_explain(kind, fault, environment, document, display) for fault in faults]
        bad |= {str(fault["loc"][0]) for fault in faults if fault["loc"]}
        # Once more without the wrong ones: rules between the others are problems too, and all are told.
        settings = _build(kind, layers, without=bad)

    origins = {key: Origin("file", key) for key in document.values}
    origins |= {key: Origin("environment", environment.names[key,]) for key in environment.values}
    settings.settle(origins, file, around.warnings)
    if not document.broken:
        for conflict in settings.conflicts():
            if bad.isdisjoint({str(conflict.where[0]), *conflict.others}):
                problems.append(_explain_conflict(conflict, settings, environment, document, display))
    if problems:
        raise StartError(*dict.fromkeys(problems), exit_code=2)
    return settings


def _build(kind: type[S], layers: Iterable[Mapping[str, Any]], *, without: set[str]) -> S:
    kept = ({key: value for key, value in layer.items() if key not in without} for layer in layers)
    # As a mapping, because ``sources`` is an argument to ``settings_customise_sources`` and no field.
    given: dict[str, Any] = {"sources": tuple(_Given(kind, values) for values in kept)}
    return kind(**given)


def _secrets(kind: type[ProcessSettings], values: Mapping[str, Any]) -> Iterator[str]:
    """The secrets among raw values, also inside lists and mappings, where the name of the key tells."""
    todo: list[tuple[bool, object, int]] = [
        (kind.model_fields[key].annotation is SecretStr, value, 0) for key, value in values.items()
    ]
    while todo:
        secret, value, depth = todo.pop()
        if isinstance(value, str):
            if secret and len(value.strip()) >= 6:  # a shorter one would mask ordinary words
                yield value.strip()
        elif isinstance(value, dict) and depth < 4:
            todo += [(_names_a_secret(str(key), item), item, depth + 1) for key, item in value.items()]
        elif isinstance(value, list) and depth < 4:
            todo += [(secret, item, depth + 1) for item in value]


def _names_a_secret(key: str, value: object) -> bool:
    """``api_key``, but not the path under ``api_key_file``."""
    is_path = key.endswith("_file") and isinstance(value, str) and "/" in value
    return _SECRET_NAME.search(key) is not None and not is_path


# What pydantic finds, where it says more about the shape than the field's own words do.
_SHAPES = {
    "dict_type": "a mapping",
    "list_type": "a list",
    "mapping_type": "a mapping",
    "model_attributes_type": "a mapping",
    "model_type": "a mapping",
    "tuple_type": "a list",
}
_FALLBACK = {"string_type": "text (in quotes, if it looks like a number)"}


def _explain(
    kind: type[ProcessSettings],
    fault: Mapping[str, Any],
    environment: _Reading,
    document: _Reading,
    display: _Display,
) -> str:
    """One line for one finding of pydantic's."""
    where = tuple(part for part in fault["loc"] if part != "[key]")
    reading = environment if (where[0],) in environment.names else document
    if fault["type"] in {"extra_forbidden", "invalid_key"}:
        siblings = {name: name for name in _siblings(kind, where)}
        return _unknown_key(where, fault["input"], siblings, reading, display)
    expect = _expect(kind, fault["loc"])
    name = _name(where, reading, display)
    if fault["type"] == "missing":
        return f"{name} is missing, expected {expect.words}"
    said = str(fault.get("ctx", {}).get("error", "")) if fault["type"] == "value_error" else ""
    words = (
        _SHAPES.get(fault["type"]) or said or expect.words or _FALLBACK.get(fault["type"], "something else")
    )
    secret = (
        expect.secret
        or (fault["type"] in _SHAPES and not _holds_text(kind, fault["loc"]))
        or (expect.path and "/" not in str(fault["input"]))
    )
    return wrong(name, display.value(fault["input"], secret=secret), words)


def _explain_conflict(
    conflict: Conflict,
    settings: ProcessSettings,
    environment: _Reading,
    document: _Reading,
    display: _Display,
) -> str:
    """Named after the first of the settings involved that somebody set: a default is nobody's mistake."""
    reading = environment if (conflict.where[0],) in environment.names else document
    name, value = _name(conflict.where, reading, display), conflict.value
    if settings.origin(str(conflict.where[0])).source == "default":
        for other in conflict.others:
            if settings.origin(other).source != "default":
                reading = environment if (other,) in environment.names else document
                name, value = _name((other,), reading, display), getattr(settings, other)
                break
    return wrong(name, display.value(value), conflict.expected)


def _name(where: Where, reading: _Reading, display: _Display) -> str:
    return reading.name(where, _written(where, display))


def _unwrapped(annotation: Any) -> tuple[Any, list[object]]:
    """A type without ``Annotated`` and ``| None``, and the notes that hung on it."""
    notes: list[object] = []
    while True:
        if get_origin(annotation) is Annotated:
            notes += annotation.__metadata__
            annotation = annotation.__origin__
        elif type(None) in get_args(annotation):
            annotation = next(arg for arg in get_args(annotation) if arg is not type(None))
        else:
            return annotation, notes


def _steps(kind: type[BaseModel], where: Where) -> Iterator[tuple[Any, list[object]]]:
    """The type and the notes at each step of the way to a value; ends where it leaves what is declared."""
    annotation: Any = kind
    for index, part in enumerate(where):
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            info = annotation.model_fields.get(str(part))
            if info is None:
                return
            annotation, notes = _unwrapped(info.annotation)
            notes += info.metadata
        else:
            inner = [arg for arg in get_args(annotation) if arg is not Ellipsis]
            if not inner:
                return
            of_key = where[index + 1 : index + 2] == ("[key]",)
            annotation, notes = _unwrapped(inner[0] if of_key else inner[-1])
        yield annotation, notes


def _expect(kind: type[BaseModel], where: Where) -> Expect:
    """The words of the innermost thing on the way to a value that has any."""
    found = Expect("")
    for annotation, notes in _steps(kind, where):
        said = [note for note in notes if isinstance(note, Expect)]
        found = (
            said[-1] if said else Expect("a mapping" if hasattr(annotation, "model_fields") else found.words)
        )
        if annotation is SecretStr:
            found = Expect(found.words, secret=True)
    return found


def _holds_text(kind: type[BaseModel], where: Where) -> bool:
    """Whether a list of words is asked for; what stands in the place of anything larger may be a key."""
    steps = list(_steps(kind, where))
    inner = [_unwrapped(arg)[0] for arg in get_args(steps[-1][0])] if steps else []
    return bool(inner) and inner[0] is str and inner[-1] in {str, Ellipsis}


def _siblings(kind: type[BaseModel], where: Where) -> Iterable[str]:
    """The keys that would be right where an unknown one stands."""
    around = list(_steps(kind, where[:-1]))
    model = around[-1][0] if around else kind
    return model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else ()


# ---------------------------------------------------------------------------------------------- reporting


class Effective(NamedTuple):
    """One line of ``check``: the value is plain data with its secrets masked."""

    key: str
    variable: str | None
    value: object
    source: Source


def effective(settings: ProcessSettings) -> Iterator[Effective]:
    """Every setting in the order of its declaration."""
    names = variables(type(settings))
    for key, info in type(settings).model_fields.items():
        value = _plain(getattr(settings, key), _notes(info))
        yield Effective(key, names.get(key), value, settings.origin(key).source)


def _notes(info: FieldInfo) -> list[object]:
    return _unwrapped(info.annotation)[1] + info.metadata


def _plain(value: object, notes: Iterable[object] = ()) -> object:
    if isinstance(value, SecretStr):
        return masked(value.get_secret_value())
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {key: _plain(getattr(value, key), _notes(info)) for key, info in fields.items()}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str) and any(isinstance(note, Expect) and note.secret for note in notes):
        return masked(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
