"""The effective settings as plain data, with their sources and without their secrets."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from pydantic import BaseModel, SecretStr

from shared.settings.declare import Expect, ProcessSettings, Shown, Source, variables
from shared.settings.mask import masked


class Effective(NamedTuple):
    """One setting. The value is plain data."""

    key: str
    variable: str | None
    value: object
    source: Source


def effective(settings: ProcessSettings) -> Iterator[Effective]:
    """Every setting in the order of its declaration."""
    names = variables(type(settings))
    for key, info in type(settings).model_fields.items():
        value = getattr(settings, key)
        shown = next((note for note in info.metadata if isinstance(note, Shown)), None)
        value = shown.text(value) if shown else _plain(value)
        yield Effective(key, names.get(key), value, settings.origin(key).source)


def _plain(value: object, notes: Iterable[object] = ()) -> object:
    if isinstance(value, SecretStr):
        return masked(value.get_secret_value())
    if isinstance(value, str) and any(isinstance(note, Expect) and note.secret for note in notes):
        return masked(value)
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {key: _plain(getattr(value, key), info.metadata) for key, info in fields.items()}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | float | None) else str(value)
