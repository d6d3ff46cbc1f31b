"""Runs the checks of one task over its outputs."""

import json
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scheduler.commands import CommandError, Failure, run_command
from scheduler.core.expects import Check, Kind

TIMEOUT_SECONDS: Final = 60.0
"""For all looks into the output together, and for each command."""
GRACE_SECONDS: Final = 5.0
"""Beyond its time, in which the child says by itself which check was under way."""
LONGEST_MESSAGE: Final = 300
"""Characters."""

_LOOKED_AT_BYTES: Final = 10_000
"""Of a command's output: its end."""

_CHILD: Final = Path(__file__).with_name("child.py")
_INSIDE: Final = frozenset({Kind.REGEX, Kind.JSON, Kind.SCHEMA})
_COMMAND_ENVIRONMENT: Final = ("PATH", "HOME", "LANG")


class ChecksError(Exception):
    """Nothing can be said about the output, and it is not the output's fault: no process could be started, or
    the disk could not be read. The operator looks at what the message says; checking again later may work.
    """


@dataclass(frozen=True, slots=True)
class OutputFile:
    """An output, and where it lies. `final`: its author calls the task done with it."""

    name: str
    path: Path
    size_bytes: int
    final: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """A check that did not pass, and what is wrong, in one line."""

    check: Check
    message: str

    def __str__(self) -> str:
        return f"{self.check}: {self.message}"


async def run_checks(
    checks: Sequence[Check],
    outputs: Sequence[OutputFile],
    *,
    schema_dir: Path,
    commands: Mapping[str, tuple[str, ...]],
    environ: Mapping[str, str],
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> tuple[Finding, ...]:
    """What is wrong with `outputs` (oldest first), in the order of `checks`; nothing if all of them pass.

    `commands` are the roster's; from `environ` they get PATH, HOME and LANG. Raises ChecksError.
    """
    unique = list(dict.fromkeys(checks))
    final = next((output for output in reversed(outputs) if output.final), None)
    wrong = {check: message for check in unique if (message := _outside(check, outputs, final))}
    if final is not None:
        inside = [check for check in unique if check.kind in _INSIDE]
        wrong |= await _inside(inside, final, schema_dir, timeout_seconds)
        for check in unique:
            if check.kind is Kind.COMMAND:
                argv = commands.get(check.argument)
                if message := await _command(argv, final, environ, timeout_seconds):
                    wrong[check] = message
    return tuple(Finding(check, _one_line(wrong[check])) for check in unique if check in wrong)


def _outside(check: Check, outputs: Sequence[OutputFile], final: OutputFile | None) -> str:
    """What is wrong that is known without opening anything; '' if nothing is."""
    if check.kind is Kind.FILE:
        named = any(output.name == check.argument for output in outputs)
        return "" if named else "no output has this name"
    if final is None:
        return "there is no final output"
    return "the final output is empty" if check.kind is Kind.NONEMPTY and not final.size_bytes else ""


async def _inside(
    checks: Sequence[Check], final: OutputFile, schema_dir: Path, seconds: float
) -> dict[Check, str]:
    """What is wrong by the child's word."""
    if not checks:
        return {}
    # Isolated: neither the working directory nor a variable says what is imported.
    argv = [sys.executable, "-I", "-X", "utf8", str(_CHILD)]
    try:
        ended = await run_command(
            argv,
            environ={},
            timeout_seconds=seconds + GRACE_SECONDS,
            stdin=_job(checks, final, schema_dir, seconds),
        )
    except CommandError as error:
        if error.kind is Failure.TIMED_OUT:  # deaf to its own alarm, and nobody knows at which check
            return dict.fromkeys(checks, _too_long(seconds))
        raise ChecksError(str(error)) from error
    if ended.code > 0:
        raise ChecksError(_last_line(ended.stderr) or _end(ended.code))
    said = [json.loads(line) for line in ended.stdout.splitlines()]
    wrong = {check: message for check, message in zip(checks, said, strict=False) if message}
    if ended.code < 0 and len(said) < len(checks):
        wrong[checks[len(said)]] = _end(ended.code)
    return wrong


def _job(checks: Sequence[Check], final: OutputFile, schema_dir: Path, seconds: float) -> bytes:
    job = {
        "path": str(final.path.absolute()),
        "schemas": str(schema_dir.absolute()),
        "seconds": seconds,
        "checks": [(check.kind, check.argument) for check in checks],
    }
    return json.dumps(job).encode("ascii")


async def _command(
    argv: Sequence[str] | None, final: OutputFile, environ: Mapping[str, str], seconds: float
) -> str:
    """What is wrong by the command's word; '' if nothing is."""
    if argv is None:
        return "agents.yaml has no command of this name"
    path = final.path.absolute()
    try:
        ended = await run_command(
            argv,
            environ={name: environ[name] for name in _COMMAND_ENVIRONMENT if name in environ}
            | {"OUTPUT": str(path)},
            timeout_seconds=seconds,
            cwd=path.parent,
        )
    except CommandError as error:
        match error.kind:
            case Failure.TIMED_OUT:
                return _too_long(seconds)
            case Failure.CANNOT_START:  # which may be different in a minute
                raise ChecksError(str(error)) from error
            case Failure.NOT_FOUND | Failure.TOO_MUCH_OUTPUT:
                return str(error)
    if ended.code == 0:
        return ""
    words = _last_line(ended.stderr) or _last_line(ended.stdout)
    return f"{_end(ended.code)}: {words}" if words else _end(ended.code)


def _too_long(seconds: float) -> str:
    return f"takes longer than {seconds:g} s"


def _end(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"ended by {signal.Signals(-code).name}"


# Escape sequences of terminals; other controls, line separators, halves of surrogate pairs.
_ODD: Final = re.compile("\x1b\\[[0-?]*[ -/]*[@-~]|[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _one_line(text: str) -> str:
    line = " ".join(_ODD.sub(" ", text).split())
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 1] + "…"


def _last_line(output: bytes) -> str:
    """The last one with anything on it."""
    lines = reversed(output[-_LOOKED_AT_BYTES:].splitlines())
    return next((text for line in lines if (text := _one_line(line.decode("utf-8", "replace")))), "")
