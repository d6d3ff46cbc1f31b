"""Single values that only the scheduler asks for: commands, optional addresses, names of tools."""

import re
import shlex
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from shared.settings import Expect, Shown
from shared.settings.values import Lower, Number, Port, Whole, base_url, listed


def _command(value: object) -> object:
    """A line is split as a shell would, though no shell ever sees it; in YAML it may be a list."""
    if not isinstance(value, str):
        return value
    try:
        words = shlex.split(value)
    except ValueError:
        raise ValueError("a command with its quotation marks in pairs") from None
    if words and words[0].startswith("~/"):
        words[0] = str(Path(words[0]).expanduser())
    return tuple(words)


def _runnable(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words or not words[0] or not all(word.isprintable() for word in words):
        raise ValueError
    return words


def _optional_url(text: str) -> str:
    return base_url(text) if text.strip() else ""


def _sidecar_url(text: str) -> str:
    """What OpenClaw is pointed at ends in ``/v1``; what we ask there stands beside it."""
    return re.sub(r"(/v1)*$", "", _optional_url(text))


_URL = Expect("an http:// or https:// address with a host and nothing but a path after it, or nothing")
OptionalUrl = Annotated[str, AfterValidator(_optional_url), _URL]
SidecarUrl = Annotated[str, AfterValidator(_sidecar_url), _URL]
OptionalPort = Annotated[
    Port | None,
    BeforeValidator(lambda value: None if isinstance(value, str) and not value.strip() else value),
    Expect("a whole number from 0 to 65535, or nothing: off"),
]
Command = Annotated[
    tuple[str, ...],
    BeforeValidator(_command),
    AfterValidator(_runnable),
    Expect("a path, or a command with its arguments, quoted as for a shell"),
    Shown(shlex.join),
]
Runner = Annotated[Literal["openclaw", "demo"], Lower, Expect("one of openclaw, demo")]
Workspace = Annotated[
    str,
    StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?$"),
    Expect("the id of a workspace, or nothing"),
]
Tool = Annotated[
    str,
    StringConstraints(pattern=r"^[!-+\--~]{1,128}$"),
    Expect("the name of a tool: printable characters without spaces and commas, at most 128"),
]
Tools = Annotated[tuple[Tool, ...], BeforeValidator(listed), Expect("a list of names of tools")]
Overflow = Annotated[Whole, Field(ge=0, le=1000), Expect("a whole number from 0 to 1000")]
Days = Annotated[Number, Field(gt=0, le=36525), Expect("a number of days above 0, up to 36525")]
AuditStorage = Annotated[
    Literal["memory", "file", "database"], Lower, Expect("one of memory, file, database")
]
