"""Multica's command line: one process per question, JSON on stdout, the kind of failure in the exit code.

It finds its server, its token and its default workspace in ``~/.multica/config.json``, or in the variables
`MULTICA_SERVER_URL`, `MULTICA_TOKEN` and `MULTICA_WORKSPACE_ID`, which go first.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import trio

from scheduler.commands import CommandError, Output, run_command
from scheduler.sources.protocol import SourceError, SourceRefusedError, SourceUnavailableError

TIMEOUT_SECONDS: Final = 30.0
AT_ONCE: Final = 4
MAX_SAID: Final = 300
"""Characters of its last words in an error message."""


class NotThereError(SourceRefusedError):
    """What was asked for does not exist there."""


class MulticaCommand:
    """The command, which may be several words, and the workspace; '' is the command's own default."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], workspace: str) -> None:
        self._command, self._environ = tuple(command), dict(environ)
        self._workspace = ("--workspace-id", workspace) if workspace else ()
        self._places = trio.CapacityLimiter(AT_ONCE)

    async def ask(self, *arguments: str, stdin: str = "") -> Any:
        """The JSON that it answers with. Raises SourceError."""
        output = await self._run(arguments, stdin)
        # In a thread: some megabytes would hold everybody else up.
        return await trio.to_thread.run_sync(_json, output)

    async def tell(self, *arguments: str, stdin: str = "") -> None:
        """It is done when it ends well, whatever it says. Raises SourceError."""
        await self._run(arguments, stdin)

    async def _run(self, arguments: Sequence[str], stdin: str) -> Output:
        named = next((at for at, word in enumerate(arguments) if word.startswith("-")), len(arguments))
        words, options = arguments[:named], arguments[named:]
        async with self._places:
            try:
                output = await run_command(
                    [*self._command, *words, *self._workspace, *options, "--output", "json"],
                    environ=self._environ,
                    timeout_seconds=TIMEOUT_SECONDS,
                    stdin=stdin.encode("utf-8", "replace"),
                )
            except CommandError as error:
                raise SourceUnavailableError(str(error)) from error
        if output.code:
            raise _translated(output)
        return output


def _translated(output: Output) -> SourceError:
    said = " ".join(output.stderr.decode("utf-8", "replace").split()).removeprefix("Error: ")
    said = said if len(said) <= MAX_SAID else said[: MAX_SAID - 1] + "…"
    because = f": {said}" if said else ""
    match output.code:
        case 2:
            return SourceUnavailableError(f"Multica's server cannot be reached{because}")
        case 3:
            return SourceUnavailableError(f"Multica does not let us in, see `multica auth status`{because}")
        case 4:
            return NotThereError(f"Multica does not have it{because}")
        case 5:
            return SourceRefusedError(f"Multica does not take it{because}")
    return SourceUnavailableError(f"multica ended with exit code {output.code}{because}")


def _json(output: Output) -> Any:
    try:
        return json.loads(output.stdout)
    except (ValueError, RecursionError) as error:
        raise SourceUnavailableError("multica answered with something that is no JSON") from error
