"""What a task may expect of its outputs, in words: `file:NAME`, `nonempty`, `regex:PATTERN`, `json`, …

The rule: what can be read here can be looked at later. A wrong expectation is refused when it is written, not
when the work is done and nobody can say whether it is good.
"""

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_ARGUMENT: Final = 1000
"""Characters. What needs a longer regular expression is better said by a command."""
MAX_FILE_NAME_BYTES: Final = 200
"""File systems take 255; the rest is for what the board appends."""


class Kind(StrEnum):
    """What is looked at: `file` looks at all outputs, the others at the newest final one."""

    FILE = "file"
    """an output of this name is there"""
    NONEMPTY = "nonempty"
    """it has at least one byte"""
    REGEX = "regex"
    """`re.search` finds this in it, read as UTF-8"""
    JSON = "json"
    """it is one JSON value"""
    SCHEMA = "schema"
    """it is JSON that fits this JSON Schema, a file of the operator's"""
    COMMAND = "command"
    """this command of the roster's exits with 0 for it"""


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation. `argument` is '' for the kinds that need none."""

    kind: Kind
    argument: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.argument}" if self.kind in _ARGUMENTS else self.kind.value


def parse(entry: str) -> Check:
    """Read one entry of `expects`. Raises ValueError that says what is wrong, in words for its author."""
    word, colon, argument = entry.partition(":")
    if word not in Kind.__members__.values():
        raise ValueError(f"no such check; there are {_ALL}")
    kind = Kind(word)
    if kind not in _ARGUMENTS:
        if colon:
            raise ValueError(f"{kind} takes no argument")
        return Check(kind)
    name, fault = _ARGUMENTS[kind]
    if not argument:
        raise ValueError(f"say {kind}:{name}")
    if len(argument) > MAX_ARGUMENT:
        raise ValueError(f"more than {MAX_ARGUMENT} characters")
    if problem := fault(argument):
        raise ValueError(problem)
    return Check(kind, argument)


def is_file_name(text: str) -> bool:
    """Whether an output can be called so: a name in one directory, visible, and nowhere else."""
    return (
        bool(text)
        and not _NOT_IN_NAMES.search(text)
        and len(text.encode("utf-8", "surrogatepass")) <= MAX_FILE_NAME_BYTES
    )


# The directory separators of all systems, controls, line separators, halves of surrogate pairs; a dot at the
# beginning (`..` is a way out, the others are hidden), and blanks at an end, which nobody sees.
_NOT_IN_NAMES: Final = re.compile("[/\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|\\A[\\s.]|\\s\\Z")
_COMMAND_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def _file_fault(argument: str) -> str | None:
    return None if is_file_name(argument) else "a plain file name is meant, without a directory"


def _regex_fault(argument: str) -> str | None:
    try:
        # `[[a]` is legal, and that its meaning may change one day is nothing for our stderr.
        with warnings.catch_warnings(action="ignore"):
            re.compile(argument)
    except re.error as error:
        return f"not a regular expression of Python's: {error}"
    except (RecursionError, OverflowError):
        return "this regular expression is too large"
    return None


def _command_fault(argument: str) -> str | None:
    if _COMMAND_NAME.fullmatch(argument):
        return None
    return "the name of a command under `commands` in agents.yaml is meant, without arguments"


_ARGUMENTS: Final[Mapping[Kind, tuple[str, Callable[[str], str | None]]]] = {
    Kind.FILE: ("NAME", _file_fault),
    Kind.REGEX: ("PATTERN", _regex_fault),
    Kind.SCHEMA: ("FILE", _file_fault),
    Kind.COMMAND: ("NAME", _command_fault),
}
"""What the kinds that need one call their argument, and what can be wrong with it."""

_ALL: Final = ", ".join(f"{kind}:{_ARGUMENTS[kind][0]}" if kind in _ARGUMENTS else kind for kind in Kind)
