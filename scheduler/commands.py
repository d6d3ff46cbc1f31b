"""Runs a foreign command, once: `openclaw`, a checker, another task board's client.

The rule: a child has a process group of its own, files for what it says, and an end, whatever becomes of us.
Files and not pipes: a pipe stays open for as long as any grandchild holds it, and an unread one stops its
writer. What a child may know of our environment is on a list; our keys and tokens are not.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

import trio

MAX_OUTPUT_BYTES: Final = 32 * 1024**2
"""Of stdout and of stderr, each. More is no answer to anything that we ask."""
TERM_SECONDS: Final = 2.0
"""From SIGTERM to SIGKILL."""
WATCH_SECONDS: Final = 0.25
"""How often the length of the output is looked at: nothing rings when a file grows."""

_NAMES: Final = frozenset(
    {"HOME", "LANG", "LOGNAME", "SHELL", "TMPDIR", "TZ", "USER", "NODE_EXTRA_CA_CERTS"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}
)
_PREFIXES: Final = ("LC_", "XDG_")
OPENCLAW: Final = "OPENCLAW_"
MULTICA: Final = "MULTICA_"
"""What the variables of a foreign program begin with: each gets its own, and not the others'."""


class Failure(StrEnum):
    """Why a command gave no output."""

    NOT_FOUND = "not_found"
    """there is no such program: the operator installs it, or names it in the settings"""
    CANNOT_START = "cannot_start"
    """no right to it, no memory, no processes left, arguments too long: the operating system says which"""
    TIMED_OUT = "timed_out"
    """it was ended; what it had done by then is not known"""
    TOO_MUCH_OUTPUT = "too_much_output"
    """likewise"""


class CommandError(Exception):
    """The command did not come to an end of its own. `kind` says how far it came; the message is for people,
    and names the program but none of its arguments.
    """

    def __init__(self, kind: Failure, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Output:
    """How it ended (`code` is negative for a signal) and all that it said."""

    code: int
    stdout: bytes
    stderr: bytes


def environment(environ: Mapping[str, str], of: str, *, path_first: Path) -> dict[str, str]:
    """What of `environ` a foreign command is given whose own variables begin with `of`.

    Programs in `path_first` are found before any other.
    """
    prefixes = (*_PREFIXES, of)
    allowed = {name: value for name, value in environ.items() if name in _NAMES or name.startswith(prefixes)}
    return {**allowed, "PATH": f"{path_first}{os.pathsep}{environ.get('PATH') or os.defpath}"}


async def run_command(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str],
    timeout_seconds: float,
    stdin: bytes = b"",
    max_output_bytes: int = MAX_OUTPUT_BYTES,
    cwd: Path | None = None,
) -> Output:
    """Start it, wait for it, read what it said. Raises CommandError.

    When its time is over, or when we are cancelled, its whole group is ended before this returns; only what
    has left the group on purpose lives on.
    """
    name = Path(argv[0]).name
    with ExitStack() as files:
        out, err = (files.enter_context(_file(name)) for _ in range(2))
        process = await _start(argv, environ, stdin, (out, err), cwd)
        try:
            with trio.move_on_after(timeout_seconds) as patience:
                await _end(process, name, (out, err), max_output_bytes)
        finally:
            if process.returncode is None:
                await _kill(process)
        if patience.cancelled_caught:
            raise CommandError(Failure.TIMED_OUT, f"{name} did not end within {timeout_seconds:g} s")
        assert process.returncode is not None
        return Output(process.returncode, _read(out), _read(err))


async def _start(
    argv: Sequence[str],
    environ: Mapping[str, str],
    stdin: bytes,
    says: tuple[IO[bytes], IO[bytes]],
    cwd: Path | None,
) -> trio.Process:
    name = Path(argv[0]).name
    with ExitStack() as files:
        source: IO[bytes] | int = subprocess.DEVNULL
        if stdin:
            source = files.enter_context(_file(name))
            source.write(stdin)
            source.seek(0)
        try:
            return await trio.lowlevel.open_process(
                list(argv),
                stdin=source,
                stdout=says[0],
                stderr=says[1],
                env=dict(environ),
                cwd=cwd,
                start_new_session=True,
            )
        except (FileNotFoundError, NotADirectoryError) as error:
            raise CommandError(Failure.NOT_FOUND, f"{name} is not there: {_why(error)}") from error
        except OSError as error:
            raise CommandError(Failure.CANNOT_START, f"{name} cannot be started: {_why(error)}") from error
        except ValueError as error:  # a NUL in an argument
            raise CommandError(Failure.CANNOT_START, f"{name} cannot be started: {error}") from error


async def _end(process: trio.Process, name: str, says: Sequence[IO[bytes]], limit: int) -> None:
    """Until it ends. Raises CommandError when it says too much."""
    while process.returncode is None:
        with trio.move_on_after(WATCH_SECONDS):
            await process.wait()
        if any(os.fstat(file.fileno()).st_size > limit for file in says):
            raise CommandError(Failure.TOO_MUCH_OUTPUT, f"{name} said more than {limit} bytes")


async def _kill(process: trio.Process) -> None:
    """The whole group, and whatever cancels us: SIGTERM, two seconds, SIGKILL."""
    with trio.CancelScope(shield=True):
        _signal(process, signal.SIGTERM)
        with trio.move_on_after(TERM_SECONDS):
            await process.wait()
        # Also when the first of the group has gone: the others may not have heard.
        _signal(process, signal.SIGKILL)
        await process.wait()


def _signal(process: trio.Process, number: signal.Signals) -> None:
    # EPERM is macOS's word for a group of which only zombies are left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _file(name: str) -> IO[bytes]:
    """Has no name in the file system, so nothing is left behind."""
    try:
        return TemporaryFile()
    except OSError as error:
        raise CommandError(Failure.CANNOT_START, f"{name} cannot be started: {_why(error)}") from error


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
