"""Looks into one output, in a process of its own: run as a file, by an isolated interpreter.

It stands alone, without any module of ours, because what it runs may go wrong: `(a+)+$` takes longer on some
texts than there is time, and a hundred megabytes of `[[],[],…` need more than there is memory. Both end here
and not in the daemon.

On stdin one JSON object: `path` of the output, the directory of the `schemas`, `seconds` that all of it may
take, `checks` as pairs of kind and argument. On stdout a line of JSON per check, as soon as it is known:
null, or what is wrong. The check that is under way when the time is over is the last one. What is wrong with
us, or with the disk, is said on stderr, and the exit code is not 0.
"""

import json
import os
import re
import resource
import signal
import sys
from functools import cached_property
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any, Final, NoReturn

MEMORY_BYTES: Final = 1024**3
"""Of address space. 100 MB of text take up to 500 in Python; parsed as JSON they mostly stay below 1,000."""
LONGEST_MESSAGE: Final = 500
"""Characters. A complaint of a schema's quotes the value, which may be the whole output."""
MOST_COMPLAINTS: Final = 100
"""Of a schema's, among which the most telling is chosen."""


class _TooSlow(BaseException):
    """The time is over. No Exception, because nothing on the way may take it for one of its own."""


class Content:
    """The output, read once in each form that is asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def text(self) -> str:
        """Whatever it is, as text; with a mark in the place of what is no UTF-8."""
        return self._path.read_bytes().decode("utf-8", "replace")

    @cached_property
    def value(self) -> Any:
        """What it means as JSON. Raises ValueError."""
        return json.loads(self._path.read_bytes().decode("utf-8"), parse_constant=_refuse)


def fault(content: Content, kind: str, argument: str, schemas: Path) -> str | None:
    """What is wrong; None if nothing is. Raises OSError if the output cannot be read."""
    try:
        match kind:
            case "regex":
                return None if re.search(argument, content.text) else "nothing in the output matches"
            case "json":
                return json_fault(content)
            case "schema":
                return json_fault(content) or schema_fault(content.value, schemas, argument)
            case _:
                raise ValueError(f"{kind} does not look into an output")
    except MemoryError:
        return f"takes more than {MEMORY_BYTES // 1024**2} MB of memory"
    except RecursionError:
        return "nested too deeply"


def json_fault(content: Content) -> str | None:
    """Why the output is no JSON."""
    try:
        content.value  # noqa: B018 - read for what it raises
    except json.JSONDecodeError as error:
        return f"the output is no JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    except UnicodeDecodeError as error:
        return f"the output is no JSON: no UTF-8 at byte {error.start}"
    except ValueError as error:
        return f"the output is no JSON that can be read here: {error}"
    return None


def schema_fault(value: Any, schemas: Path, name: str) -> str | None:
    """Why the value does not fit the schema, or why the schema is of no use. Nothing is fetched for it."""
    # Here, because it takes a tenth of a second that the other checks need not wait.
    from jsonschema.exceptions import SchemaError, best_match  # noqa: PLC0415
    from jsonschema.validators import Draft202012Validator, validator_for  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415
    from referencing.exceptions import Unresolvable  # noqa: PLC0415

    try:
        schema = _schema(schemas, name)
        validator = validator_for(schema, default=Draft202012Validator)
        validator.check_schema(schema)
        # An empty registry: what a reference names outside the schema is not there, and is not looked for.
        complaints = validator(schema, registry=Registry()).iter_errors(value)
        complaint = best_match(islice(complaints, MOST_COMPLAINTS))
    except SchemaError as error:
        reason = f"{error.message} at {error.json_path}"
    except Unresolvable as error:
        reason = f"it refers to {error.ref}, which is not in it"
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # a schema is data, and what is odd in it surfaces anywhere in the library
        reason = str(error)
    else:
        return None if complaint is None else f"{complaint.json_path}: {complaint.message}"
    return f"the schema {name} is of no use: {reason}"


def _schema(schemas: Path, name: str) -> Any:
    """The operator's schema of that name. Raises ValueError."""
    path = schemas / name
    try:
        inside = path.resolve().parent == schemas.resolve()
        text = path.read_bytes() if inside else None
    except (OSError, RuntimeError):  # RuntimeError: a symbolic link to itself
        text = None
    if text is None:
        raise ValueError("there is none")
    schema = json.loads(text)
    if not isinstance(schema, dict | bool):
        raise ValueError("it is neither an object nor true or false")  # noqa: TRY004 - of a file, not of ours
    return schema


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _limit(seconds: float) -> None:
    """The alarm tells which check took too long. The other limits are for what does not hear it."""
    signal.signal(signal.SIGALRM, _too_slow)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    limits = {resource.RLIMIT_CPU: ceil(seconds) + 1, resource.RLIMIT_CORE: 0}
    if sys.platform == "linux":  # elsewhere it is not kept to, or forbids to start at all
        limits[resource.RLIMIT_AS] = MEMORY_BYTES
    for what, most in limits.items():
        hard = resource.getrlimit(what)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (limit, limit))


def _too_slow(_signal: int, _frame: object) -> NoReturn:
    raise _TooSlow


def _tell(message: str | None) -> None:
    # One write per line: whatever ends this process, what it has said is whole.
    os.write(sys.stdout.fileno(), json.dumps(message and message[:LONGEST_MESSAGE]).encode() + b"\n")


def main() -> None:
    """All checks of the job on stdin."""
    job = json.load(sys.stdin)
    content, schemas = Content(Path(job["path"])), Path(job["schemas"])
    try:
        _limit(job["seconds"])
        for kind, argument in job["checks"]:
            _tell(fault(content, kind, argument, schemas))
    except _TooSlow:
        _tell(f"takes longer than {job['seconds']:g} s")
    except OSError as error:
        sys.exit(f"the output cannot be read: {error.strerror}")


if __name__ == "__main__":
    main()
