"""OpenClaw's gateway, asked through OpenClaw's own command line: one process per question, one JSON answer.

The rule: an error says whether the question was put. "Nobody was there" and "it was put, and no answer came"
are different things to somebody who must not start a run twice.

Measured on 2026.9.6, with ``--json``: stdout is one JSON object, pure; stderr is for people. Success ends
with 0. Failure ends with 1 and ``{"ok":false,"error":{"type","message",…}}``, where `type` is

- ``gateway_transport_error``: with ``ECONNREFUSED`` in `reason` nobody listens; any other end of the
  connection, and `kind` ``timeout``, leave open what became of the question;
- ``gateway_request_error``: the gateway's own refusal, with `code` and `retryable`. While it stops, for which
  it waits up to 315 s for its runs, it admits nobody: `reason` ``websocket-upgrade-rejected``;
- ``gateway_credentials_required``, ``cli_error``: the command line would not ask at all.

A question costs about one second of a core.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import trio

from scheduler.commands import CommandError, Failure, Output, run_command

TIMEOUT_SECONDS: Final = 30.0
START_SECONDS: Final = 5.0
"""Of that time: for the command line itself to start, on a busy machine."""
AT_ONCE: Final = 4
"""Questions at a time: each is a Node process of 100 MB and more."""
MAX_PARAMS_BYTES: Final = 120_000
"""Linux takes 131,071 bytes in one argument; 2026.9.6 reads parameters from nowhere else."""
MAX_WORDS: Final = 300
"""Characters of an error message."""
AGAIN_AFTER_SECONDS: Final = (0.5, 2.0)
"""Where somebody else has OpenClaw's files at the moment."""
_OCCUPIED: Final = "another OpenClaw process owns"
"""In the refusal of a command that opens those files itself (`workboard list`, `sessions archive`) while the
gateway, at the beginning of a run, or another command has them to itself. It has done nothing then.
"""
_PASSING: Final = frozenset({"UNAVAILABLE", "AGENT_TIMEOUT"})
"""Codes of refusals that say something about the moment, even where `retryable` is false."""

Answer = dict[str, Any]
"""JSON of OpenClaw's making: whoever reads it takes nothing for granted."""


class OpenClawError(Exception):
    """OpenClaw gave no usable answer. The message is for people."""


class GatewayDownError(OpenClawError):
    """The question was not put: the gateway does not run, is about to stop, or the command cannot be started.
    The operator looks at `openclaw gateway status`. Asking again later is harmless.
    """


class AnswerLostError(OpenClawError):
    """The question may have been put, and no answer came that can be read. What came of it is not known."""


class GatewayError(OpenClawError):
    """The gateway, or the command line, refused. `final`: the question is wrong, or not ours to ask, so it
    will be refused again.
    """

    def __init__(self, message: str, *, final: bool) -> None:
        super().__init__(message)
        self.final = final


class _OccupiedError(GatewayError):
    """Nothing was done, and a moment later it would have been."""


def encoded(params: Mapping[str, object]) -> str:
    """As the command line takes them. Half an emoji, which no argument can hold, becomes a question mark."""
    return json.dumps(params, ensure_ascii=False).encode("utf-8", "replace").decode()


class Gateway:
    """The gateway that `command` finds; a command may be several words, as `npx openclaw`."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._command, self._environ = tuple(command), dict(environ)
        self._timeout_seconds = timeout_seconds
        self._places = trio.CapacityLimiter(AT_ONCE)

    async def call(self, method: str, params: Mapping[str, object]) -> Answer:
        """What the gateway's method answers. Raises OpenClawError."""
        # It gives up before we end it, because its own end says more than ours.
        patience = max(1.0, self._timeout_seconds - START_SECONDS)
        return await self.ask(
            "gateway", "call", method, "--params", encoded(params), "--timeout", str(int(patience * 1000))
        )

    async def ask(self, *arguments: str) -> Answer:
        """What any verb answers that knows `--json`. Raises OpenClawError."""
        for pause in AGAIN_AFTER_SECONDS:
            try:
                return await self._asked(arguments)
            except _OccupiedError:
                await trio.sleep(pause)
        return await self._asked(arguments)

    async def _asked(self, arguments: Sequence[str]) -> Answer:
        async with self._places:
            try:
                output = await run_command(
                    [*self._command, *arguments, "--json"],
                    environ=self._environ,
                    timeout_seconds=self._timeout_seconds,
                )
            except CommandError as error:
                put = error.kind in {Failure.TIMED_OUT, Failure.TOO_MUCH_OUTPUT}
                raise (AnswerLostError if put else GatewayDownError)(str(error)) from error
        # In a thread: reading a transcript of some megabytes would hold everybody else up.
        return await trio.to_thread.run_sync(_understood, output)


def _understood(output: Output) -> Answer:
    """Raises OpenClawError."""
    try:
        answer = _storable(json.loads(output.stdout))
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        said = _last_line(output.stderr) or _last_line(output.stdout) or "nothing"
        raise AnswerLostError(f"no JSON but exit code {output.code} and: {said}")
    if output.code == 0:
        return answer
    error = answer.get("error")
    raise _translated(error if isinstance(error, dict) else {}, output)


def _storable(value: Any) -> Any:
    """Half an emoji and NUL, which a cut text may hold and no board takes, become replacement characters."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
        case list():
            return [_storable(each) for each in value]
        case dict():
            return {_storable(key): _storable(each) for key, each in value.items()}
    return value


def _translated(error: Answer, output: Output) -> OpenClawError:
    words = error.get("message") or _last_line(output.stderr) or f"exit code {output.code}"
    message = " ".join(str(words).split())[:MAX_WORDS]
    if error.get("type") == "gateway_transport_error":
        refused = "ECONNREFUSED" in str(error.get("reason", ""))
        return GatewayDownError(message) if refused else AnswerLostError(message)
    details = error.get("details")
    if isinstance(details, dict) and details.get("reason") == "websocket-upgrade-rejected":
        return GatewayDownError(message)
    if _OCCUPIED in message:
        return _OccupiedError(message, final=False)
    passing = error.get("retryable") is True or error.get("code") in _PASSING
    return GatewayError(message, final=not passing)


def _last_line(said: bytes) -> str:
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")[:MAX_WORDS]
