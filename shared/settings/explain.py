"""From what pydantic or a rule found to the line that tells the operator."""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from shared.settings.declare import Conflict, Expect, ProcessSettings, UnexpectedError, Where, keys_of
from shared.settings.mask import show
from shared.settings.wording import unknown, wrong

Name = Callable[[Where], str]
"""How the operator knows a value: by its variable, or by its key and line."""

# What is said of a value that has no ``Expect``, by pydantic's type of error.
_SHAPES = {
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "string_type": "text",
    "tuple_type": "a list",
}


def explain(kind: type[BaseModel], fault: Mapping[str, Any], name: Name) -> str:
    """One line for one finding of pydantic's."""
    where = place_of(fault)
    last, value = str(where[-1]), fault["input"]
    if fault["type"] in {"extra_forbidden", "invalid_key"}:
        return unknown(name(where), last, value, {key: key for key in _fields_at(kind, where)})
    if fault["type"] == "missing":
        notes = _fields_at(kind, where)[last].metadata
        return wrong(name(where), "missing", next(note.words for note in notes if isinstance(note, Expect)))
    error = fault.get("ctx", {}).get("error")
    if isinstance(error, UnexpectedError):
        return wrong(name(where), show(value, secret=error.secret), str(error))
    words = _SHAPES.get(fault["type"]) or str(error or "something else")
    return wrong(name(where), show(value, secret=True), words)


def place_of(fault: Mapping[str, Any]) -> Where:
    """The way to the value or the key that a finding of pydantic's is about.

    Where the key of a mapping is wrong, pydantic appends a mark, which a file may also have for a key.
    """
    where: Where = fault["loc"]
    return where[:-1] if where[-1] == "[key]" and fault["type"] != "extra_forbidden" else where


def explain_conflict(conflict: Conflict, settings: ProcessSettings, name: Name) -> str:
    """Named after the first of the settings involved that somebody set: a default is nobody's mistake."""
    if not settings.is_explicit(str(conflict.where[0])):
        for key in filter(settings.is_explicit, conflict.others):
            return wrong(name((key,)), show(getattr(settings, key)), conflict.expected)
    return wrong(name(conflict.where), show(conflict.value), conflict.expected)


def _fields_at(kind: type[BaseModel], where: Where) -> Mapping[str, FieldInfo]:
    """The fields of the part in which the last key of ``where`` stands."""
    inside: Any = kind
    for key in where[:-1]:
        if hasattr(inside, "model_fields"):
            inside = keys_of(inside)[str(key)].annotation
        else:  # dict[str, Part] or tuple[Part, ...]
            inside = next(arg for arg in reversed(get_args(inside)) if arg is not Ellipsis)
    return keys_of(inside)
